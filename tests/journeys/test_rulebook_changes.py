"""Policy changes while cases are open: pending steps are decided again, and policies are checked before the call."""

from __future__ import annotations

from typing import Any

from policies.drafts.edit import draft_policy_version
from policies.models import Policy
from policies.publication.publish import publish_policy_version, retire_policy_version
from tests.factories import acting_system
from tests.journeys.demo import LARGE, SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work

STOP = {"id": "stop", "when": "true", "at": "both", "effect": "deny", "reason": "STOPPED"}
ALLOW = {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"}


def approval(count: int = 1, role: str = "finance") -> dict[str, Any]:
    return {
        "id": "ask",
        "when": "ctx.action == 'pay'",
        "effect": "require_approval",
        "reason": "ASK",
        "approvals": {"all": [{"role": role, "count": count}], "exclude": ["requester"]},
    }


def publish_for_open(demo: Demo, *rules: dict[str, Any]) -> None:
    ctx = acting_system(demo.tenant)
    with unit_of_work(demo.tenant.id):
        draft = draft_policy_version("payments", {"rules": list(rules)}, ctx=ctx).row
        publish_policy_version(draft, ctx=ctx, applies_to_open=True)


def retire(demo: Demo) -> None:
    with unit_of_work(demo.tenant.id):
        version = Policy.objects.select_related("in_force").get(slug="payments").in_force
        retire_policy_version(version, ctx=acting_system(demo.tenant))


def test_a_denial_between_approval_and_call_stops_the_call(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    demo.vote("finance-1", step)
    demo.vote("finance-2", step)
    demo.put_rules(STOP)
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("failed", "policy_denied")
    assert bank.requests() == []
    assert demo.item(item)["status"] == "failed"
    assert demo.kinds(item)[-2:] == ["policy.rechecked", "execution.failed"]
    rechecked = demo.story(item)[-2]
    assert rechecked["reason_codes"] == ["STOPPED"]
    demo.check_receipts()


def test_a_newer_version_leaves_open_steps_alone(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)
    demo.put_rules(approval(count=1), ALLOW, only=True)
    demo.wait()
    assert demo.step_of(item)["decision_step_id"] == step["decision_step_id"]
    demo.vote("finance-1", step)
    assert demo.step_of(item)["waiting_for"] == [{"role": "finance", "missing": 1}]
    demo.vote("finance-2", step)
    demo.wait()
    assert len(bank.requests()) == 1


def test_applied_to_open_steps_it_asks_again_over_a_new_envelope(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    old = demo.step_of(item)
    demo.vote("finance-1", old)
    demo.wait()
    publish_for_open(demo, approval(count=1, role="security"), ALLOW)
    assert demo.wait() == ["workitems.re_evaluate_for_policies"]
    new = demo.step_of(item)
    assert new["decision_step_id"] != old["decision_step_id"]
    assert (new["votes"], new["waiting_for"]) == ([], [{"role": "security", "missing": 1}])
    assert new["envelope_sha256"] != old["envelope_sha256"]
    assert new["envelope"]["request"] == old["envelope"]["request"]
    assert new["envelope"]["policy_version_ids"] == new["policy_version_ids"] != old["policy_version_ids"]
    late = demo.vote("finance-2", old).json()
    assert (late["reason_code"], late["envelope_sha256"]) == ("envelope_changed", new["envelope_sha256"])
    assert late["current_decision_step_id"] == new["decision_step_id"]
    assert demo.vote("security-1", new).json()["work_item_status"] == "executing"
    demo.wait()
    assert demo.execution(execution)["status"] == "succeeded"
    assert demo.execution(execution)["envelope_sha256"] == new["envelope_sha256"]
    assert len(bank.requests()) == 1


def test_applied_to_open_steps_it_may_allow_at_once(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    publish_for_open(demo, ALLOW)
    demo.wait()
    assert demo.item(item)["status"] == "resolved"
    assert len(bank.requests()) == 1


def test_applied_to_open_steps_a_denial_ends_the_waiting_execution(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    publish_for_open(demo, STOP)
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("failed", "policy_denied")
    assert demo.item(item)["status"] == "ready"
    assert demo.client.get(f"/decision-steps/{step['decision_step_id']}").json()["status"] == "superseded"
    assert demo.client.get("/decision-steps", {"work_item_id": item, "status": "pending"}).json()["data"] == []


def test_what_was_never_approved_is_never_retried(demo: Demo, bank: Receiver) -> None:
    """Check an execution that expired without approval."""
    item = demo.hand_in(LARGE)
    waiting = demo.execute(item).json()["execution_id"]
    publish_for_open(demo, STOP)
    demo.wait()
    publish_for_open(demo, {**ALLOW, "when": "ctx.action != 'pay'"}, {**approval(), "when": "ctx.action == 'pay'"})
    failing = demo.execute(item).json()["execution_id"]
    bank.behave(status=422, times=1)
    demo.vote("finance-1", demo.step_of(item))
    demo.wait()
    assert demo.execution(failing)["status"] == "failed"
    assert demo.item(item)["status"] == "failed"
    answer = demo.client.post(f"/executions/{waiting}/retry", {})
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "execution_not_retryable")
    demo.wait()
    assert len(bank.requests()) == 1


def test_no_vote_counts_once_the_version_is_retired(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    demo.vote("finance-1", step)
    retire(demo)
    late = demo.vote("finance-2", step)
    assert (late.status_code, late.json()["reason_code"]) == (409, "step_closed")
    demo.wait()
    assert demo.execution(execution)["failure"] == "policy_denied"
    assert demo.item(item)["status"] == "ready"
    assert demo.story(item)[-1]["body"]["outcome"]["failure"] == "policy_denied"
    assert bank.requests() == []


def test_a_retired_version_sends_a_review_through_intake_again(demo: Demo) -> None:
    item = demo.hand_in(SMALL, confidence=0.4)
    demo.wait()
    step = demo.step_of(item)
    publish_for_open(demo, ALLOW)
    demo.wait()
    assert demo.item(item)["status"] == "ready"
    assert demo.client.get(f"/decision-steps/{step['decision_step_id']}").json()["status"] == "superseded"


def test_rules_about_who_acts_hold_at_every_look(demo: Demo, bank: Receiver) -> None:
    """Check that the actor of a rule is the requester or executor, also in a worker."""
    demo.put_rules(
        {
            "id": "members_vote",
            "when": "'client' in ctx.roles && ctx.actor_kind == 'human'",
            "effect": "allow",
            "reason": "STAFF",
        },
        only=True,
    )
    carla = demo.join("carla")
    item = demo.hand_in(SMALL, by=carla)
    demo.wait()
    assert demo.item(item)["status"] == "ready"
    execution = demo.execute(item, by=carla).json()["execution_id"]
    demo.wait()
    assert demo.execution(execution)["status"] == "succeeded"
    by_service = demo.hand_in(SMALL)
    demo.wait()
    assert demo.item(by_service)["status"] == "refused"


def test_the_intake_decision_is_about_who_handed_it_in(demo: Demo, bank: Receiver) -> None:
    """Check both orders of the worker and an `execute` by another person."""
    demo.put_rules(
        {"id": "no-agents", "when": "ctx.actor_kind == 'agent'", "at": "intake", "effect": "deny", "reason": "AGENT"}
    )
    robot = demo.join("robot", kind="agent")
    item = demo.hand_in(SMALL, by=robot)
    answer = demo.execute(item)
    assert (answer.status_code, answer.json()["reasons"][0]["reason"]) == (403, "AGENT")


def test_a_changed_integration_needs_a_new_approval(demo: Demo, bank: Receiver) -> None:
    """Check an approved envelope whose integration has a new URL."""
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    old = demo.step_of(item)
    demo.vote("finance-1", old)
    demo.put_bank(bank.url + "/v2")
    demo.wait()
    new = demo.step_of(item)
    assert new["envelope_sha256"] != old["envelope_sha256"]
    assert new["envelope"]["request"]["url"] == bank.url + "/v2/payments"
    assert new["votes"] == []
    late = demo.vote("finance-2", old).json()
    assert (late["reason_code"], late["envelope_sha256"]) == ("envelope_changed", new["envelope_sha256"])
    assert late["current_decision_step_id"] == new["decision_step_id"]
    demo.vote("finance-1", new)
    demo.vote("finance-2", new)
    demo.wait()
    assert demo.execution(execution)["status"] == "succeeded"
    assert [call["path"] for call in bank.requests()] == ["/v2/payments"]
