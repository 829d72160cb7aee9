from __future__ import annotations

from typing import Any

import orjson
import pytest

from integrations.models import Envelope, Execution
from policies.models import PolicyDecision
from tests.workitems.office import BANK, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import sha256_hex


def counts(office: Office) -> tuple[int, ...]:
    return office.count(Execution), office.count(Envelope), office.count(PolicyDecision)


def test_what_is_allowed_starts(office: Office) -> None:
    item = office.decided(5)
    started = office.execute(item, input={"note": "x"})
    execution = office.execution(started.execution)
    assert (started.step, execution.status, office.item(item).status) == (None, "started", "executing")
    assert execution.requested_by == office.people["rita"].id
    assert execution.idempotency_key.startswith("threada-")
    body = bytes(execution.envelope.body)
    assert sha256_hex(body) == execution.envelope.sha256
    content = orjson.loads(body)
    assert content["request"] == {
        "method": "POST",
        "url": "http://127.0.0.1:9/payments",
        "headers": {},
        "auth": None,
        "body": {"amount": 5},
    }
    assert content["work_item"] == {"id": item.public_id, "version": 1, "payload_sha256": item.payload_sha256}
    assert content["integration"]["version_id"] == ids.public_id(
        ids.INTEGRATION_VERSION, execution.integration_version_id
    )
    assert content["action"]["resolves"] is True
    assert content["evidence"] == [{"kind": "fallback", "content": {"reason": "no_evidence_supplied"}}]
    proposed = office.bodies("execution.proposed")[0]
    assert proposed["inputs"]["envelope_sha256"] == execution.envelope.sha256
    assert proposed["outcome"] == {"status": "started"}


def test_the_callers_key_is_kept(office: Office) -> None:
    assert office.execute(office.decided(), idempotency_key="k-1").execution.idempotency_key == "k-1"


@pytest.mark.parametrize(
    ("request_", "by", "refusal"),
    [
        ({"integration": "moon"}, "rita", errors.UnknownIntegration),
        ({"action": "fly"}, "rita", errors.UnknownAction),
        ({}, "fay", errors.PermissionDenied),
        ({}, "wim", errors.PermissionDenied),
        ({"integration": "desk", "action": "assign"}, "rita", errors.ExpressionFailed),
    ],
)
def test_what_is_refused_changes_nothing(
    office: Office, request_: dict[str, Any], by: str, refusal: type[ThreadaError]
) -> None:
    item = office.decided()
    before, told = counts(office), office.kinds(item)
    with pytest.raises(refusal):
        office.execute(item, by=by, **request_)
    assert counts(office) == before
    assert (office.item(item).status, office.kinds(item)) == ("ready", told)


def test_the_workflow_names_its_actions(office: Office) -> None:
    office.upsert_workflow(actions=["close"])
    item = office.decided()
    with pytest.raises(errors.ActionNotAllowed):
        office.execute(item)


def test_input_is_checked_by_the_action(office: Office) -> None:
    schema = {"type": "object", "required": ["note"], "properties": {"note": {"type": "string"}}}
    office.put_bank(actions={"pay": {**BANK["actions"]["pay"], "input_schema": schema}})
    item = office.decided()
    with pytest.raises(errors.InvalidRequest) as refused:
        office.execute(item, input={"note": 5})
    assert refused.value.errors[0].pointer == "/input/note"
    office.execute(item, input={"note": "five"})


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a"], "properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]}}},
        {"allOf": [{"$ref": "#"}]},
    ],
)
def test_a_schema_that_could_take_for_ever_is_not_run(office: Office, schema: dict[str, Any]) -> None:
    office.put_bank(actions={"pay": {**BANK["actions"]["pay"], "input_schema": schema}})
    item = office.decided()
    deep: dict[str, Any] = {"a": 1}
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(errors.InvalidRequest):
        office.execute(item, input=deep)
    assert office.count(Execution) == 0


def test_one_open_execution_per_item(office: Office) -> None:
    item, _, execution = office.awaiting()
    for status in ("awaiting_approval", "started", "running", "outcome_unknown"):
        office.set_execution(execution, status=status)
        with pytest.raises(errors.ExecutionInProgress):
            office.execute(item)
    assert office.count(Execution) == 1


@pytest.mark.parametrize("status", ["rejected", "expired", "resolved", "cancelled"])
def test_an_ended_item_takes_no_action(office: Office, status: str) -> None:
    from workitems.models import WorkItem

    item = office.decided()
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=item.id).update(status=status)
    before = counts(office)
    with pytest.raises(errors.TransitionNotAllowed):
        office.execute(item)
    assert counts(office) == before


def test_a_new_item_is_decided_on_the_way(office: Office) -> None:
    started = office.execute(office.create())
    assert started.execution.status == "started"
    assert office.count(PolicyDecision) == 2


def test_a_denied_action_is_kept_as_decision_and_receipt(office: Office) -> None:
    office.put_rules({"id": "no", "when": "true", "at": "execute", "effect": "deny", "reason": "NO"}, *RULES)
    item = office.decided()
    with pytest.raises(errors.PolicyDenied) as refused:
        office.execute(item)
    assert refused.value.keeps_changes
    assert list(refused.value.reasons) == [{"reason": "NO", "policy": "rules", "rule": "no"}]


def test_the_actor_of_an_expression_is_the_caller(office: Office) -> None:
    pay = {**BANK["actions"]["pay"], "body": {"by": "${ctx.actor}", "roles": "${ctx.roles}", "n": "${item.version}"}}
    office.put_bank(actions={"pay": pay})
    started = office.execute(office.decided())
    content = orjson.loads(bytes(office.execution(started.execution).envelope.body))
    assert content["request"]["body"] == {"by": office.people["rita"].public_id, "roles": ["client"], "n": 1}


def test_a_failing_expression_is_reported(office: Office) -> None:
    office.put_bank(actions={"pay": {**BANK["actions"]["pay"], "body": {"to": "${item.payload.vendor}"}}})
    item = office.decided()
    with pytest.raises(errors.ExpressionFailed):
        office.execute(item)
    assert office.item(item).status == "ready"
    assert office.count(Execution) == 0


def test_request_approval_may_have_a_rule_of_its_own(office: Office) -> None:
    from integrations.configuration.configure import upsert_integration
    from tests.jobs import run_jobs

    with unit_of_work(office.tenant.id):
        actions = {"request_approval": {"question": "Pay ${item.payload.amount}?", "approvals": {"role": "finance"}}}
        upsert_integration("desk", {"connector": "workflow", "actions": actions}, ctx=office.system)
    item = office.decided(7)
    started = office.execute(item, integration="desk", action="request_approval")
    run_jobs()
    step = office.pending_step(item)
    assert (step.question, step.rule["role"], step.execution_id) == ("Pay 7?", "finance", None)
    assert office.people["rita"].id in step.excluded_ids
    assert office.execution(started.execution).status == "succeeded"
    office.vote(step, "fay")
    assert office.item(item).status == "ready"
