"""`manage.py prove`: the promises are checked against a tenant's configuration, and nothing remains."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from integrations.models import Execution, Freeze
from policies.publication.publish import upsert_policy
from telemetry.models import Receipt
from tests.factories import acting_system, make_principal
from tests.journeys.conftest import demo
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.operator_word import people_by_operator
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Membership, Tenant, User
from workitems.executions import open_envelope, run_execution
from workitems.models import DecisionStep, WorkItem
from workitems.proof import checks
from workitems.proof.prove import prove
from workitems.proof.results import Result
from workitems.steps import voting

__all__ = ["demo"]

TABLES = (WorkItem, DecisionStep, Execution, Freeze, Receipt, User)


def proved(tenant: str) -> tuple[int, dict[str, Any]]:
    out = StringIO()
    try:
        call_command("prove", "--tenant", tenant, "--json", "--seconds", "60", stdout=out, stderr=StringIO())
    except (SystemExit, CommandError) as ended:
        return getattr(ended, "code", 1) or 1, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def rows(demo: Demo) -> dict[str, int]:
    with unit_of_work(demo.tenant.id):
        return {model.__name__: model.objects.count() for model in TABLES}


def results(proof: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["result"] for check in proof["checks"]}


def test_demo_keeps_its_promises_and_nothing_remains(demo: Demo) -> None:
    before = rows(demo)
    status, proof = proved(demo.tenant.slug)
    found = results(proof)
    assert found.pop("every_rule_matches") == "not_applicable"  # there are no recorded decisions
    assert found.pop("people_are_apart") == "not_applicable"  # `up` made all of them
    assert found == dict.fromkeys(found, "pass")
    assert "nothing is sent" in json.dumps(proof)
    assert "They are one hand by construction" in json.dumps(proof)
    assert status == 0
    assert rows(demo) == before | {"Receipt": before["Receipt"] + 1}, "nothing remains but the receipt of the proof"


LAX = {
    "id": "anybody",
    "when": "ctx.action == 'pay'",
    "effect": "require_approval",
    "reason": "LARGE",
    "approvals": {"all": [{"role": "finance"}], "exclude": []},
}
TESTS = [
    {
        "given": {
            "item": {"payload": {"vendor": "Hooli", "amount_minor": 5}},
            "ctx": {"point": "execute", "action": "pay"},
        },
        "expect": {"effect": "require_approval", "reason": "LARGE"},
    }
]


def test_rules_that_break_promises_are_named(demo: Demo) -> None:
    with unit_of_work(demo.tenant.id):
        rules = [LAX, {"id": "rest", "when": "true", "effect": "allow", "reason": "FINE"}]
        upsert_policy("payments", {"rules": rules, "tests": TESTS}, ctx=acting_system(demo.tenant))
        User.objects.create(username="threada-proof-requester", kind="human", is_active=False)  # prepared to be refused
    status, proof = proved(demo.tenant.slug)
    assert status == 1
    found = results(proof)
    broken = {check for check, result in found.items() if result == "fail"}
    assert broken == {"requester_cannot_approve", "agent_cannot_approve"}
    assert "Who could decide: finance-1, finance-2." in json.dumps(proof)


def started_anyway(_item: WorkItem, step: DecisionStep, **_more: Any) -> None:
    Execution.objects.filter(id=step.execution_id).update(status="started")


BROKEN = {
    "a vote on another envelope": (
        "changed_envelope_is_refused",
        "A vote that names another envelope was stored.",
        ((voting, "require_current_envelope", lambda *_: None),),
    ),
    "a changed payload": (
        "changed_envelope_is_refused",
        "The approved request was about to be sent although its payload was changed.",
        ((open_envelope, "check_agrees", lambda *_: None),),
    ),
    "a freeze": (
        "frozen_integration_is_not_called",
        "A request was about to be sent to the frozen integration.",
        ((run_execution, "freeze_before_lease", lambda _: None),),
    ),
    "a vote after the end of the step": (
        "expired_step_does_not_act",
        "A vote on the expired step was stored.",
        ((voting, "has_expired", lambda *_, **__: False),),
    ),
    "an execution after the end of the step": (
        "expired_step_does_not_act",
        "A request was about to be sent although its step expired.",
        (
            (checks, "expire_step", started_anyway),
            (run_execution, "missing_approval", lambda *_: None),
            (open_envelope, "_approvals", lambda *_: open_envelope.GivenApprovals()),
        ),
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_product_that_breaks_a_promise_fails(demo: Demo, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    check, sentence, guards = BROKEN[broken]
    for module, guard, replacement in guards:
        monkeypatch.setattr(module, guard, replacement)
    status, proof = proved(demo.tenant.slug)
    assert (status, {name for name, result in results(proof).items() if result == "fail"}) == (1, {check})
    assert sentence in json.dumps(proof)


def test_people_of_whom_a_command_made_something_are_named(demo: Demo) -> None:
    (people,) = [check for check in proved(demo.tenant.slug)[1]["checks"] if check["check"] == "people_are_apart"]
    named = {finding["case"]: finding["text"] for finding in people["findings"]}
    assert named["finance-1"] == "A command of the operator made the account and the password."
    assert {finding["result"] for finding in people["findings"]} == {"not_applicable"}
    with unit_of_work(demo.tenant.id):
        demo.api("finance-1")  # with a token of the operator
        found = people_by_operator(demo.tenant.id)
        assert (found["finance-1"], found["admin"]) == (["account", "password", "token"], ["account", "password"])
        ada = User.objects.create(username="ada", kind="human")
        Membership.objects.create(tenant=demo.tenant, user=ada, added_by=User.objects.get(username="admin").id)
        Membership.objects.filter(user=ada).update(accepted_at=clock.now())
        assert people_by_operator(demo.tenant.id).keys() == found.keys()
    (people,) = [check for check in proved(demo.tenant.slug)[1]["checks"] if check["check"] == "people_are_apart"]
    assert "one hand" not in json.dumps(people)
    with unit_of_work(demo.tenant.id):
        Membership.objects.filter(user=ada).delete()  # written without its receipt, above


@pytest.mark.parametrize("kind", ["service", "agent"])
def test_a_service_or_an_agent_without_an_owner_fails(demo: Demo, kind: str) -> None:
    make_principal(demo.tenant, "stray", kind=kind, roles=("tenant_admin",), owner="")
    status, proof = proved(demo.tenant.slug)
    (owners,) = [check for check in proof["checks"] if check["check"] == "machines_have_owners"]
    assert (status, owners["result"], [finding["case"] for finding in owners["findings"]]) == (1, "fail", ["stray"])
    call_command("set_owner", "developer-1", of="stray", stdout=StringIO())
    status, proof = proved(demo.tenant.slug)
    assert (status, results(proof)["machines_have_owners"]) == (0, "pass")


def test_a_tenant_without_cases_proves_nothing(demo: Demo, other_tenant: Tenant) -> None:
    status, proof = proved(other_tenant.slug)
    assert (status, set(results(proof).values())) == (1, {"not_applicable"})


def test_a_case_without_time_is_not_applicable(demo: Demo) -> None:
    proof = prove(acting_system(demo.tenant, EntryPoint.COMMAND), seconds=0.0001)
    assert {finding.result for finding in proof.findings} == {Result.NOT_APPLICABLE}
    assert not proof.holds
