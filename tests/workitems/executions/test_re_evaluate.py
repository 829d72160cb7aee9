from __future__ import annotations

from typing import Any

import pytest

from policies.models import Policy
from policies.publication.publish import retire_policy_version
from tests.jobs import queued_jobs, run_jobs
from tests.workitems.office import BANK, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from workitems import tasks
from workitems.executions.re_evaluate import re_evaluate_step
from workitems.items.locks import locked_step

ASK_VERA = {**RULES[1], "approvals": {"role": "approver"}}


def re_evaluate(office: Office, step: Any) -> None:
    with unit_of_work(office.tenant.id):
        re_evaluate_step(*locked_step(step.id, ctx=office.system), ctx=office.system)


def test_re_evaluation_asks_what_the_rules_in_force_ask(office: Office) -> None:
    item, step, execution = office.awaiting()
    office.vote(step, "fay")
    before = office.execution(execution)
    office.put_rules(ASK_VERA, *RULES[2:])
    re_evaluate(office, step)
    assert office.step(step).status == "superseded"
    new = office.pending_step(item)
    now = office.execution(execution)
    assert (new.execution_id, new.envelope_id) == (execution.id, now.envelope_id)
    assert now.envelope_id != before.envelope_id
    assert new.envelope_sha256 == now.envelope.sha256 != before.envelope.sha256
    assert new.policy_version_ids != step.policy_version_ids
    assert office.people["rita"].id in new.excluded_ids
    assert (office.item(item).status, now.status) == ("awaiting_approval", "awaiting_approval")
    assert office.kinds(item)[-3:] == ["decision_step.superseded", "policy.decided", "decision_step.opened"]
    office.vote(new, "vera")
    assert office.item(item).status == "executing"


def test_what_is_allowed_now_starts(office: Office) -> None:
    item, step, execution = office.awaiting()
    office.put_rules(RULES[3])
    re_evaluate(office, step)
    assert (office.item(item).status, office.execution(execution).status) == ("executing", "started")
    assert queued_jobs()[-1][0] == "workitems.run_execution"


def test_what_is_denied_now_ends(office: Office) -> None:
    item, step, execution = office.awaiting()
    office.put_rules({"id": "no", "when": "true", "effect": "deny", "reason": "NO"})
    re_evaluate(office, step)
    shown = office.execution(execution)
    assert (shown.status, shown.failure, office.item(item).status) == ("failed", "policy_denied", "ready")
    assert shown.finished_at is not None
    assert office.kinds(item)[-3:] == ["decision_step.superseded", "policy.decided", "execution.failed"]


def test_a_closed_step_is_left_alone(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    told = office.kinds(item)
    re_evaluate(office, step)
    assert office.kinds(item) == told


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"actions": {"other": BANK["actions"]["pay"]}}, "no action"),
        ({"actions": {"pay": {**BANK["actions"]["pay"], "body": {"to": "${item.payload.vendor}"}}}}, "vendor"),
        ({"actions": {"pay": {**BANK["actions"]["pay"], "input_schema": {"required": ["note"]}}}}, "input"),
    ],
)
def test_what_can_no_longer_be_sealed_ends(office: Office, changes: dict[str, Any], detail: str) -> None:
    item, step, execution = office.awaiting()
    office.put_bank(**changes)
    run_jobs()
    shown = office.execution(execution)
    assert (shown.status, shown.failure, office.item(item).status) == ("failed", "envelope_mismatch", "ready")
    assert detail in shown.failure_detail
    assert office.step(step).status == "superseded"


def test_an_integration_that_changes_asks_again_for_what_waits_alone(office: Office) -> None:
    waiting, step, execution = office.awaiting()
    started = office.execute(office.decided()).execution
    pinned = office.execution(started).integration_version_id
    office.put_bank(base_url="http://127.0.0.1:10")
    run_jobs(ahead_of_time=False)
    assert office.step(step).status == "superseded"
    assert office.pending_step(waiting).envelope_sha256 != step.envelope_sha256
    assert office.execution(execution).integration_version_id != pinned
    assert office.execution(started).integration_version_id == pinned


def test_the_same_integration_again_asks_nothing(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.put_bank()
    run_jobs()
    assert office.step(step).status == "pending"


def test_one_that_breaks_holds_up_no_other(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first, _ = office.awaiting()
    _, second, _ = office.awaiting()

    def break_first(item: Any, step: Any, *, ctx: Any) -> None:
        if step.id == first.id:
            raise RuntimeError("broken")
        re_evaluate_step(item, step, ctx=ctx)

    monkeypatch.setattr(tasks, "re_evaluate_step", break_first)
    with unit_of_work(office.tenant.id):
        version = Policy.objects.select_related("in_force").get().in_force
        retire_policy_version(version, ctx=office.system)
    with pytest.raises(RuntimeError):
        run_jobs()
    assert (office.step(first).status, office.step(second).status) == ("pending", "superseded")
    with pytest.raises(errors.StepClosed):
        office.vote(first, "fay")
