from __future__ import annotations

import orjson

from policies.models import PolicyDecision
from tests.jobs import queued_jobs, run_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from workitems.executions.close_item import edit_payload
from workitems.items.locks import locked_item
from workitems.models import DecisionStep
from workitems.steps.policy.decision import take_intake_decision


def test_each_effect_moves_the_item(office: Office) -> None:
    office.put_rules(
        {"id": "no", "when": "item.payload.amount == 1", "effect": "deny", "reason": "NO"},
        {"id": "look", "when": "item.payload.amount == 2", "effect": "review", "reason": "LOOK"},
        {
            "id": "ask",
            "when": "item.payload.amount == 3",
            "at": "intake",
            "effect": "require_approval",
            "reason": "ASK",
            "approvals": {"role": "finance"},
        },
        {"id": "yes", "when": "item.payload.amount == 4", "effect": "allow", "reason": "YES"},
    )
    found = {amount: office.decided(amount) for amount in (1, 2, 3, 4, 5)}
    assert {amount: item.status for amount, item in found.items()} == {
        1: "refused",
        2: "in_review",
        3: "awaiting_approval",
        4: "ready",
        5: "refused",
    }
    with unit_of_work(office.tenant.id):
        steps = {step.work_item_id: step for step in DecisionStep.objects.all()}
        decisions = {row.work_item_id: row for row in PolicyDecision.objects.all()}
    assert (steps[found[2].id].kind, steps[found[3].id].kind, len(steps)) == ("review", "approval", 2)
    assert steps[found[3].id].policy_version_ids == [decisions[found[3].id].policy_version_id]
    assert decisions[found[5].id].reason_codes == ["no_rule_matched"]
    assert office.kinds(found[2]) == ["work_item.created", "policy.decided", "decision_step.opened"]
    assert found[1].policy_version_id == decisions[found[1].id].policy_version_id


def test_deciding_twice_decides_once(office: Office) -> None:
    item = office.create()
    assert run_jobs().count("workitems.decide_intake") == 1
    with unit_of_work(office.tenant.id):
        assert take_intake_decision(locked_item(item.id, ctx=office.system), ctx=office.system) is None
    assert office.kinds(item) == ["work_item.created", "policy.decided"]
    assert office.count(PolicyDecision) == 1


def test_a_decision_taken_earlier_withdraws_the_job_of_the_item_alone(office: Office) -> None:
    item, other = office.create(), office.create()
    with unit_of_work(office.tenant.id):
        take_intake_decision(locked_item(item.id, ctx=office.system), ctx=office.system)
    named = [job["work_item_id"] for task, job in queued_jobs() if task == "workitems.decide_intake"]
    assert named == [str(other.id)]


def test_without_any_policy_it_is_refused(office: Office) -> None:
    office.upsert_workflow("lonely")
    item = office.decided(workflow="lonely")
    assert item.status == "refused"
    (body,) = office.bodies("policy.decided")
    assert body["outcome"] == {"effect": "deny", "status": "refused", "reason_codes": ["policy_missing"]}


def test_a_rule_that_fails_refuses(office: Office) -> None:
    office.put_rules({"id": "odd", "when": "item.payload.vendor == 'x'", "effect": "allow", "reason": "ODD"})
    assert office.decided().status == "refused"
    (body,) = office.bodies("policy.decided")
    assert body["outcome"]["reason_codes"] == ["policy_error"]


def test_who_edited_is_who_acts(office: Office) -> None:
    office.put_rules(
        {"id": "boss", "when": "'tenant_admin' in ctx.roles", "effect": "allow", "reason": "BOSS"},
        {"id": "others", "when": "!('tenant_admin' in ctx.roles)", "effect": "review", "reason": "OTHERS"},
    )
    item = office.decided()
    assert item.status == "in_review"
    office.on_item(item, lambda item, ctx: edit_payload(item, {"amount": 6}, ctx=ctx), by="ada")
    run_jobs()
    assert office.item(item).status == "ready"


def test_the_facts_name_the_requester_and_the_actor(office: Office) -> None:
    item = office.decided(by="ada", requester="rita", risk_flags=("odd",), confidence=0.9)
    with unit_of_work(office.tenant.id):
        decision = PolicyDecision.objects.get(work_item_id=item.id)
    facts = orjson.loads(bytes(decision.facts))
    assert facts["item"]["requester"] == ids.public_id(ids.PRINCIPAL, office.people["rita"].id)
    assert facts["ctx"]["actor"] == ids.public_id(ids.PRINCIPAL, office.people["ada"].id)
    assert (facts["ctx"]["actor_kind"], facts["ctx"]["roles"]) == ("human", ["tenant_admin"])
    assert (facts["ctx"]["point"], facts["ctx"]["action"]) == ("intake", "")
    assert facts["item"]["risk_flags"] == ["odd"]
