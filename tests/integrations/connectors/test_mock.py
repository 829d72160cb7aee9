"""The `mock` connector: documents, the request in the envelope, and simulated outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.attempts.outcomes import Outcome
from integrations.connectors import CallTerms, OutboundConnector, connector_named
from integrations.documents import read_integration
from integrations.transport import EgressPolicy
from tests.integrations.recorders import RecordingNetwork
from threada_site.kernel.errors import DocumentInvalid, ExpressionFailed

FACTS: dict[str, Any] = {
    "item": {"id": "wi_1", "payload": {"vendor": "Hooli", "fails": ""}},
    "ctx": {"action": "pay"},
    "input": {},
}
PAY: dict[str, Any] = {
    "request": {"vendor": "${item.payload.vendor}"},
    "answer": {"payment_id": "${item.id}"},
    "fails": "${item.payload.fails}",
}


def run(action: dict[str, Any], **payload: Any) -> tuple[dict[str, Any], Outcome]:
    document = read_integration({"connector": "mock", "actions": {"pay": action}})
    connector = connector_named("mock")
    assert isinstance(connector, OutboundConnector)
    facts = {**FACTS, "item": {"id": "wi_1", "payload": {**FACTS["item"]["payload"], **payload}}}
    request = connector.build_request(document, document.action("pay"), facts)
    network = RecordingNetwork({})
    terms = CallTerms(
        idempotency_key="ex_1", timeout_s=0.2, egress=EgressPolicy([]), user_agent="Threada", network=network
    )
    first, second = connector.call(request, terms), connector.call(request, terms)
    assert first == second
    return request, first


def test_answer_comes_from_the_document() -> None:
    request, outcome = run(PAY)
    assert request == {
        "simulated": True,
        "request": {"vendor": "Hooli"},
        "answer": {"payment_id": "wi_1"},
        "fails": None,
        "delay_s": 0.0,
    }
    assert outcome == Outcome(response={"simulated": True, "answer": {"payment_id": "wi_1"}})


@pytest.mark.parametrize(
    ("fails", "ambiguous"),
    [
        ("timeout", True),
        ("bad_response", True),
        ("connection_refused", False),
        ("receiver_rate_limited", False),
        ("rejected_by_receiver", False),
    ],
)
def test_declared_failure_is_simulated(fails: str, ambiguous: bool) -> None:
    request, outcome = run(PAY, fails=fails)
    assert (request["fails"], outcome.failure, outcome.ambiguous) == (fails, fails, ambiguous)
    assert outcome.detail.startswith("Simulated: nothing was sent.")
    assert run({"fails": fails})[1].failure == fails


def test_a_callback_is_announced_in_the_request_and_carries_the_answer() -> None:
    order = {**PAY, "completes": "callback", "callback_after": "PT1H", "callback_status": "${item.payload.ends}"}
    request, outcome = run(order, ends="failed")
    assert request["callback"] == {"after_s": 3600.0, "status": "failed"}
    assert outcome == Outcome(response={"simulated": True})
    with pytest.raises(ExpressionFailed, match="callback_status is 'later'"):
        run(order, ends="later")


def test_delay_beyond_the_time_limit_is_a_timeout() -> None:
    assert run({"delay": 0.01})[1].succeeded
    assert run({"delay": 5})[1].failure == "timeout"


def test_unknown_failure_is_refused_before_anybody_approves_it() -> None:
    with pytest.raises(ExpressionFailed, match="policy_denied"):
        run(PAY, fails="policy_denied")


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"actions": {"pay": {"fails": "worker_lost"}}}, "/spec/actions/pay/fails"),
        ({"actions": {"pay": {"delay": 11}}}, "/spec/actions/pay/delay"),
        ({"actions": {"pay": {"answer": "paid"}}}, "/spec/actions/pay/answer"),
        (
            {"actions": {"pay": {"completes": "callback", "callback_status": "late"}}},
            "/spec/actions/pay/callback_status",
        ),
        ({"actions": {"pay": {"callback_after": "P2D"}}}, "/spec/actions/pay/callback_after"),
        ({"base_url": "https://bank.example", "actions": {"pay": {}}}, "/spec/base_url"),
    ],
)
def test_invalid_document_is_refused(spec: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read_integration({"connector": "mock", **spec})
    assert [error.pointer for error in refused.value.errors] == [pointer]
