"""Delivery by webhooks: order, sequence, signatures, repeated messages, and results by response."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from integrations import sweeps
from integrations.connectors.standard_webhooks import signing_key
from telemetry.deliveries import batches as deliveries
from tests.integrations.deliveries.delivering import (
    KEY,
    PATH,
    again,
    change,
    due_now,
    events,
    killed_before_settling,
    lose_worker,
    metrics,
    run,
    sequence,
    stored,
    tell,
    webhook,
)
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import seal_queued
from tests.workitems.office import open_office
from threada_site.kernel import clock
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")


def test_a_webhook_gets_every_sealed_receipt_in_order(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal_queued(tenant)
    tell(tenant, "not sealed yet")
    assert run(delivery) is False
    got = events(receiver)
    assert sequence(got) == list(range(size))
    assert [canonical_bytes(event["data"]) for event in got] == stored(tenant)
    assert {event["specversion"] for event in got} == {"1.0"}
    found = again(delivery)
    assert (found.next_index, found.batch_end, found.lease_until, found.attempts) == (size, None, None, 0)
    assert found.delivered_at is not None
    seal_queued(tenant)
    run(delivery)
    assert sequence(events(receiver)) == list(range(size + 1))
    assert events(receiver)[-1]["data"]["inputs"] == {"text": "not sealed yet"}


def test_messages_are_signed_as_standard_webhooks(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal_queued(tenant)
    run(delivery)
    (call,) = receiver.requests("/hook")
    headers = call["headers"]
    assert headers["webhook-id"] == f"{delivery.public_id}.0-{size - 1}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{call['body']}".encode()
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - call["at"]) < 60
    assert headers["content-type"] == "application/cloudevents-batch+json"


def test_the_published_example_of_the_specification() -> None:
    """Verify the test vector of the Standard Webhooks reference libraries."""
    from datetime import UTC, datetime

    from integrations.connectors.standard_webhooks import signed_headers

    headers = signed_headers(
        b'{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        keys=[signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    )
    assert dict(headers)["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_!!!", "whsec_c2hvcnQ=", "short", ""])
def test_invalid_secret(secret: str) -> None:
    with pytest.raises(ValueError, match=r"is (not whsec_ and base64|shorter than 24 bytes)"):
        signing_key(secret)


def test_batches_are_bounded_and_the_sequence_is_dense(
    tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_EVENTS", 4)
    monkeypatch.setattr(deliveries, "BATCH_BYTES", 1200)
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, *("x" * length for length in (10, 10, 10, 10, 900, 2000, 10)))
    size = seal_queued(tenant)
    run(delivery)
    calls = [json.loads(call["body"]) for call in receiver.requests("/hook")]
    assert sequence([event for call in calls for event in call]) == list(range(size))
    assert max(map(len, calls)) <= 4
    assert all(len(call) == 1 or sum(len(canonical_bytes(e["data"])) for e in call) <= 1200 for call in calls)


def test_kill_between_sending_and_settling_repeats_the_message(
    tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one")
    size = seal_queued(tenant)
    killed_before_settling(delivery, monkeypatch)
    tell(tenant, "two")
    seal_queued(tenant)
    assert run(delivery) is False  # the lease still runs: no other worker sends
    assert len(receiver.requests("/hook")) == 1
    lose_worker(delivery)
    run(delivery)
    first, repeated, rest = receiver.requests("/hook")
    assert (first["body"], first["headers"]["webhook-id"]) == (repeated["body"], repeated["headers"]["webhook-id"])
    assert sequence(json.loads(first["body"]) + json.loads(rest["body"])) == list(range(size + 1))


def test_receiver_that_is_down_and_returns(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal_queued(tenant)
    change(delivery, url="http://127.0.0.1:9/hook")
    run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts) == ("active", "connection_refused", 1)
    assert found.next_try_at is not None
    assert timedelta(0) < found.next_try_at - clock.now() <= timedelta(seconds=1)
    run(delivery)  # before the next attempt
    assert again(delivery).attempts == 1
    receiver.behave(status=500, times=1)
    change(delivery, url=f"{receiver.url}/hook")
    due_now(delivery)
    run(delivery)
    assert (again(delivery).failure, again(delivery).attempts) == ("bad_response", 2)
    due_now(delivery)
    run(delivery)
    found = again(delivery)
    assert (found.next_index, found.failure, found.failing_since, found.attempts) == (size, "", None, 0)
    assert len({call["headers"]["webhook-id"] for call in receiver.requests("/hook")}) == 1


def test_delivery_pauses_itself_and_resumes_at_its_position(receiver: Receiver, tenant: Tenant) -> None:
    office = open_office(tenant)
    delivery = webhook(tenant, receiver, from_beginning=True)
    sealed = seal_queued(tenant)
    receiver.behave(status=403, body={"error": "who are you"})
    for _ in range(6):
        due_now(delivery)
        run(delivery)
    assert len(receiver.requests("/hook")) == 4
    shown = office.api("ada").get(f"{PATH}/siem").json()
    assert (shown["status"], shown["attempts"], shown["next_index"]) == ("paused", 4, 0)
    assert shown["failure"] == {
        "reason_code": "rejected_by_receiver",
        "detail": "The receiver answered 403 (Forbidden).",
    }
    assert None not in (shown["paused_at"], shown["first_failed_at"])
    (receipt_body,) = office.bodies("telemetry.delivery_paused")
    assert (receipt_body["actor"]["principal"], receipt_body["outcome"]) == (
        "system",
        {"reason_codes": ["rejected_by_receiver"]},
    )
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 0
    measured, paused = metrics(), (("status", "paused"),)
    assert measured["threada_deliveries", paused] == 1
    assert measured["threada_delivery_behind_receipts", paused] == sealed
    receiver.behave()
    tell(tenant, "meanwhile")
    assert office.api("ada").post(f"{PATH}/siem/resume", {}).json()["status"] == "active"
    size = seal_queued(tenant)
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 1
    run_jobs()
    got = [event for call in receiver.requests("/hook")[4:] for event in json.loads(call["body"])]
    assert sequence(got) == list(range(size))
    assert "telemetry.delivery_resumed" in [event["data"]["kind"] for event in got]


@pytest.mark.parametrize(
    ("behaviour", "failure", "status"),
    [
        ({"status": 410}, "rejected_by_receiver", "paused"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "bad_response", "active"),
        ({"status": 308, "headers": {"Location": "/elsewhere"}}, "rejected_by_receiver", "active"),
        ({"status": 429, "headers": {"Retry-After": "100"}}, "receiver_rate_limited", "active"),
        ({"fault": "reset"}, "bad_response", "active"),
        ({"fault": "not_http"}, "bad_response", "active"),
    ],
)
def test_results_by_response(
    behaviour: dict[str, Any], failure: str, status: str, tenant: Tenant, receiver: Receiver
) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal_queued(tenant)
    receiver.behave(**behaviour)
    run(delivery)
    found = again(delivery)
    assert (found.failure, found.status, found.next_index) == (failure, status, 0)
    if failure == "receiver_rate_limited":
        assert found.next_try_at is not None
        assert found.next_try_at - clock.now() > timedelta(seconds=95)
    assert [call["path"] for call in receiver.requests()] == ["/hook"]


@pytest.mark.parametrize(
    "behaviour", [{"content_type": "application/json", "body": "no json"}, {"fault": "short"}, {"fault": "huge"}]
)
def test_success_status_is_sufficient(behaviour: dict[str, Any], tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal_queued(tenant)
    receiver.behave(**behaviour)
    run(delivery)
    assert (again(delivery).next_index, len(receiver.requests("/hook"))) == (size, 1)


def test_missing_secret_is_reported(tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal_queued(tenant)
    for value, said in (("", "is not set or empty"), ("too short", "is shorter than 24 bytes")):
        monkeypatch.setenv("HOOK_SECRET", value)
        due_now(delivery)
        run(delivery)
        found = again(delivery)
        assert (found.failure, said in found.detail, "too short" in found.detail) == (
            "credential_unavailable",
            True,
            False,
        )
    assert receiver.requests() == []
