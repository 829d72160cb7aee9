"""Failing receivers: retries, final failures, and how people close them."""

from __future__ import annotations

import pytest

from integrations.models import Execution
from tests.jobs import lose_all_jobs, queued_jobs, run_jobs
from tests.journeys.demo import SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.sweeps import enqueue_due_executions


def run_ahead(demo: Demo) -> None:
    """Make scheduled jobs due, and run the sweep."""
    for _ in range(20):
        run_jobs()
        with unit_of_work(demo.tenant.id):
            Execution.objects.filter(next_try_at__isnull=False).update(next_try_at=None)
        lose_all_jobs()
        if not enqueue_due_executions(now=clock.now()):
            return
    raise AssertionError("it never ends")


def test_it_is_tried_again_with_the_same_key(demo: Demo, bank: Receiver) -> None:
    bank.behave(status=503, times=2)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    assert demo.wait() == ["workitems.run_execution"]
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("started", "bad_response")
    assert shown["next_try_at"] is not None
    assert [name for name, _ in queued_jobs()] == ["workitems.run_execution"]
    run_ahead(demo)
    shown = demo.execution(execution)
    assert (shown["status"], shown["attempts_made"], shown["failure"]) == ("succeeded", 3, None)
    assert [attempt["ambiguous"] for attempt in shown["attempts"]] == [True, True, False]
    assert {call["headers"]["idempotency-key"] for call in bank.requests()} == {execution}
    assert len({call["body"] for call in bank.requests()}) == 1
    assert demo.item(item)["status"] == "resolved"
    assert demo.kinds(item).count("execution.postponed") == 2


def test_a_clear_refusal_fails_and_can_be_retried(demo: Demo, bank: Receiver) -> None:
    bank.behave(status=422, body={"error": "account closed"}, times=1)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("failed", "rejected_by_receiver")
    assert shown["result"]["body"] == {"error": "account closed"}
    assert demo.item(item)["status"] == "failed"
    assert demo.client.get(f"/work-items/{item}/explain").json()["you_may"] == [
        "execute an action",
        "retry the execution",
        "change its payload, which starts the case again",
        "resolve it",
        "cancel it",
    ]

    answer = demo.client.post(f"/executions/{execution}/retry", {})
    assert (answer.status_code, answer.json()["status"]) == (202, "started")
    again = demo.client.post(f"/executions/{execution}/retry", {})
    assert (again.status_code, again.json()["reason_code"]) == (409, "execution_not_retryable")
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["attempts_made"], shown["failure"]) == ("succeeded", 2, None)
    assert demo.item(item)["status"] == "resolved"
    first, second = bank.requests()
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]
    assert first["body"] == second["body"]


def test_used_up_ambiguous_tries_end_unknown(demo: Demo, bank: Receiver) -> None:
    bank.behave(status=500)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    shown = demo.execution(execution)
    assert (shown["status"], shown["attempts_made"]) == ("outcome_unknown", 5)
    assert len(bank.requests()) == 5
    assert demo.item(item)["status"] == "executing"


def test_what_may_not_be_repeated_is_called_once_and_reconciled(demo: Demo, bank: Receiver) -> None:
    demo.put_bank(bank.url, idempotent=False)
    bank.behave(fault="close")
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    assert demo.execution(execution)["status"] == "outcome_unknown"
    assert len(bank.requests()) == 1
    for refused, reason in (
        (demo.client.post(f"/executions/{execution}/retry", {}), "execution_not_retryable"),
        (demo.client.post(f"/executions/{execution}/cancel", {}), "execution_not_cancellable"),
        (demo.client.post(f"/work-items/{item}/cancel", {}), "execution_in_progress"),
        (demo.client.post(f"/work-items/{item}/resolve", {}), "execution_in_progress"),
        (demo.client.edit(f"/work-items/{item}", {"payload": SMALL}), "execution_in_progress"),
        (demo.execute(item), "execution_in_progress"),
    ):
        assert (refused.status_code, refused.json()["reason_code"]) == (409, reason)

    stated = {"outcome": "succeeded", "reason": "It is on the statement."}
    refused = demo.client.post(f"/executions/{execution}/reconcile", stated)
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "person_required")
    said = demo.api("admin").post(f"/executions/{execution}/reconcile", stated)
    assert (said.status_code, said.json()["status"]) == (200, "succeeded")
    assert demo.item(item)["status"] == "resolved"
    again = demo.api("admin").post(f"/executions/{execution}/reconcile", {"outcome": "failed", "reason": "Or not."})
    assert (again.status_code, again.json()["reason_code"]) == (409, "execution_not_reconcilable")
    assert "execution.outcome_unknown" in demo.kinds(item)
    assert len(bank.requests()) == 1


def test_what_was_ambiguous_and_may_not_be_repeated_is_executed_anew(demo: Demo, bank: Receiver) -> None:
    demo.put_bank(bank.url, idempotent=False)
    bank.behave(fault="close")
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    demo.api("admin").post(f"/executions/{execution}/reconcile", {"outcome": "failed", "reason": "Never arrived."})
    bank.behave()
    refused = demo.api("admin").post(f"/executions/{execution}/retry", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "execution_not_retryable")
    following = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    assert (demo.execution(execution)["status"], demo.execution(following)["status"]) == ("failed", "succeeded")
    decisions = [demo.execution(each)["policy_decision_id"] for each in (execution, following)]
    assert decisions[0] != decisions[1]
    assert (demo.item(item)["status"], len(bank.requests())) == ("resolved", 2)


@pytest.mark.parametrize("status", [200, 422])
def test_what_was_reconciled_as_failed_can_be_tried_again(demo: Demo, bank: Receiver, status: int) -> None:
    """Check that a reconciled first attempt does not make the second ambiguous."""
    demo.put_bank(bank.url, idempotent=True, retry={"attempts": 1})
    bank.behave(fault="close")
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    demo.api("admin").post(f"/executions/{execution}/reconcile", {"outcome": "failed", "reason": "Never arrived."})
    assert demo.item(item)["status"] == "failed"
    bank.behave(status=status)
    demo.client.post(f"/executions/{execution}/retry", {})
    run_ahead(demo)
    assert demo.execution(execution)["status"] == ("succeeded" if status == 200 else "failed")
    assert demo.item(item)["status"] == ("resolved" if status == 200 else "failed")
    assert len(bank.requests()) == 2


def test_a_secret_that_is_not_there_fails_before_any_call(
    demo: Demo, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANK_TOKEN")
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    assert demo.execution(execution)["failure"] == "credential_unavailable"
    assert bank.requests() == []
    assert demo.item(item)["status"] == "failed"


def test_an_address_that_is_not_allowed_is_not_called(demo: Demo, bank: Receiver, settings: object) -> None:
    settings.THREADA_EGRESS_ALLOW = []  # type: ignore[attr-defined]
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    run_ahead(demo)
    assert (
        demo.execution(execution)["failure"] == "secret_origin_refused"
    )  # plain http to an address that is not listed
    assert bank.requests() == []


def test_a_failed_connection_is_retried_for_every_action(demo: Demo, bank: Receiver) -> None:
    demo.put_bank(bank.url, idempotent=False)
    bank.stop()
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("started", "connection_refused")
    cancelled = demo.client.post(f"/executions/{execution}/cancel", {})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert demo.item(item)["status"] == "ready"


def test_what_may_have_been_acted_upon_is_not_cancelled(demo: Demo, bank: Receiver) -> None:
    """Check between two attempts: cancelling could lead to a second payment."""
    bank.behave(status=500)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    assert demo.execution(execution)["status"] == "started"
    for refused, reason in (
        (demo.client.post(f"/executions/{execution}/cancel", {}), "execution_not_cancellable"),
        (demo.client.post(f"/work-items/{item}/cancel", {}), "execution_in_progress"),
        (demo.client.post(f"/work-items/{item}/resolve", {}), "execution_in_progress"),
        (demo.client.edit(f"/work-items/{item}", {"payload": SMALL}), "execution_in_progress"),
    ):
        assert (refused.status_code, refused.json()["reason_code"]) == (409, reason)
    assert demo.item(item)["status"] == "executing"


def test_an_execution_is_cancelled_before_it_is_sent(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    answer = demo.client.post(f"/executions/{execution}/cancel", {})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert demo.item(item)["status"] == "ready"
    demo.wait()
    assert bank.requests() == []
    second = demo.execute(item).json()["execution_id"]
    demo.wait()
    assert [call["headers"]["idempotency-key"] for call in bank.requests()] == [second]
