"""Chat messages: built by Apprise, sent by the transport, classified by status, never recorded with their address."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.connectors import CallTerms
from integrations.connectors.chat_services import SERVICES, ChatMessage, check_address, send_message, write_message
from integrations.transport import EgressPolicy
from tests.integrations.recorders import RecordingNetwork
from tests.receivers.fixtures import Receiver

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
ADDRESSES = {
    "discord": ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "https://discord.com/api/webhooks/4174216298/"),
    "google_chat": ("gchat://space1/key123456/token123456", "https://chat.googleapis.com/v1/spaces/space1/messages?"),
    "gotify": ("gotifys://push.example.com/AbCdEfGhIjKlMnO", "https://push.example.com/message"),
    "mattermost": ("mmosts://chat.example.com/3ccdd113474722377935511fc85d3dd4", "https://chat.example.com/hooks/3ccd"),
    "ntfy": ("ntfys://push.example.com/alerts?priority=high", "https://push.example.com/"),
    "rocketchat": (
        "rockets://1PHJDZXn8Tn4SLxG1/zYvHKjuHCeJJ8TzkA@chat.example.com/#a",
        "https://chat.example.com/hooks/",
    ),
    "slack": (SLACK, "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
    "teams": (
        "workflows://prod-1.logic.example.com:443/643e69f83c8944438d68119179a10a64/ktCKDBHWDzCJQRNB2ldYAWPxCCtXpOmk",
        "https://prod-1.logic.example.com:443/workflows/643e69f83c8944438d68119179a10a64/",
    ),
    "webhook": ("jsons://hooks.example.com/of/ada", "https://hooks.example.com/of/ada"),
}
TOKEN = "3ccdd113474722377935511fc85d3dd4"


def terms(**values: Any) -> CallTerms:
    return CallTerms(
        **{
            "idempotency_key": "ex_1",
            "timeout_s": 5.0,
            "egress": EgressPolicy(["127.0.0.1"]),
            "user_agent": "Threada/test",
            **values,
        }
    )


def send(receiver: Receiver, *, base_url: str | None = None, **values: Any) -> Any:
    address = f"mmost://127.0.0.1:{receiver.port}/{TOKEN}"
    message = ChatMessage("Two steps wait for you.", title="Threada")
    return send_message(
        message, service="mattermost", address=address, base_url=base_url or receiver.url, terms=terms(**values)
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_one_request_of_its_own(service: str) -> None:
    address, beginning = ADDRESSES[service]
    written = write_message(ChatMessage("Approve <b>item</b> 7?", title="Threada"), service=service, address=address)
    assert written.request.method == "POST"
    assert written.request.url.startswith(beginning)
    assert "Approve" in json.dumps(json.loads(written.request.body))
    assert dict(written.request.headers)["User-Agent"] == "Threada"
    assert address in written.secrets
    assert address not in repr(written)
    assert written.request.url not in repr(written)


def test_message_has_the_format_of_the_service(receiver: Receiver) -> None:
    outcome = send(receiver)
    assert (outcome.failure, outcome.response) == (None, {"status": 200})
    (request,) = receiver.requests()
    assert (request["method"], request["path"]) == ("POST", f"/hooks/{TOKEN}")
    assert json.loads(request["body"]) == {"text": "Threada\r\nTwo steps wait for you.", "username": "Threada"}
    assert request["headers"]["user-agent"] == "Threada/test"


@pytest.mark.parametrize(
    ("behaviour", "failure", "ambiguous"),
    [
        ({"status": 404}, FailureClass.REJECTED_BY_RECEIVER, False),
        ({"status": 429, "headers": {"Retry-After": "7"}}, FailureClass.RECEIVER_RATE_LIMITED, False),
        ({"status": 500}, FailureClass.BAD_RESPONSE, True),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, FailureClass.BAD_RESPONSE, True),
        ({"fault": "reset"}, FailureClass.BAD_RESPONSE, True),
    ],
)
def test_status_reports_the_result(
    receiver: Receiver, behaviour: dict[str, Any], failure: FailureClass, ambiguous: bool
) -> None:
    receiver.behave(**behaviour)
    outcome = send(receiver)
    assert (outcome.failure, outcome.ambiguous) == (failure, ambiguous)
    assert len(receiver.requests()) == 1


def test_an_answer_that_repeats_the_token_is_recorded_without_it(receiver: Receiver) -> None:
    receiver.behave(status=400, body={"error": f"no hook {TOKEN} at /hooks/{TOKEN}"})
    outcome = send(receiver)
    assert outcome.failure is FailureClass.REJECTED_BY_RECEIVER
    assert outcome.response["body"] == '{"error": "no hook [redacted] at [redacted]"}'
    assert TOKEN not in repr(outcome)


def test_the_address_stays_with_the_host_of_the_integration(receiver: Receiver) -> None:
    outcome = send(receiver, base_url="https://chat.example.com")
    assert outcome.failure is FailureClass.BLOCKED_ADDRESS
    assert receiver.requests() == []


def test_a_private_host_is_refused_like_any_other(receiver: Receiver) -> None:
    outcome = send(receiver, egress=EgressPolicy())
    assert outcome.failure is FailureClass.BLOCKED_ADDRESS
    assert receiver.requests() == []


def test_slack_s_own_host_is_pinned(receiver: Receiver) -> None:
    network = RecordingNetwork({"hooks.slack.com": ["127.0.0.1"]}, dials=True)
    outcome = send_message(
        ChatMessage("hello"),
        service="slack",
        address=SLACK,
        base_url=None,
        terms=terms(network=network, egress=EgressPolicy()),
    )
    assert outcome.failure is FailureClass.BLOCKED_ADDRESS
    assert network.dialled == []


@pytest.mark.parametrize(
    ("service", "address"),
    [
        ("slack", "nonsense"),
        ("slack", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"),
        ("slack", "slack://only-one-part"),
        ("slack", f"{SLACK}?template=/etc/passwd"),
        ("slack", f"{SLACK}?verify=no"),
        ("ntfy", "ntfy://127.0.0.1/topic?attach=http://127.0.0.1/secret"),
        ("mattermost", "mmost://127.0.0.1/3ccdd113474722377935511fc85d3dd4/?to=a,b"),
        ("teams", "workflows://h:443/643e69f83c8944438d68119179a10a64/abcdefgh?template=/etc/passwd"),
        ("rocketchat", "rocket://user:password@127.0.0.1/#alerts"),
        ("mattermost", "mmost://127.0.0.1:99999/3ccdd113474722377935511fc85d3dd4"),
        ("gotify", "gotify://[::1/AbCdEfGhIjKlMnO"),
        ("gotify", ""),
    ],
)
def test_invalid_address_is_not_repeated(service: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def dial(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is dialled")

    monkeypatch.setattr(socket, "create_connection", dial)
    with pytest.raises(TransportFailure) as refusal:
        write_message(ChatMessage("hello"), service=service, address=address)
    assert refusal.value.failure is FailureClass.CREDENTIAL_UNAVAILABLE
    assert not address or address not in refusal.value.detail


def test_checking_an_address_sends_nothing() -> None:
    check_address(SLACK, service="slack", base_url=None)
    with pytest.raises(TransportFailure) as refusal:
        check_address(ADDRESSES["ntfy"][0], service="ntfy", base_url="https://other.example.com")
    assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS
    with pytest.raises(TransportFailure) as refusal:
        check_address("slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#a", service="slack", base_url=None)
    assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS


def test_plug_in_outside_a_message_makes_no_call() -> None:
    import apprise

    plugin = apprise.Apprise()
    plugin.add(ADDRESSES["mattermost"][0])
    write_message(ChatMessage("hello"), service="mattermost", address=ADDRESSES["mattermost"][0])
    assert not plugin.notify("hello")
