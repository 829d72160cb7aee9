"""A grant counts on a step if it was in effect before the item's first step opened, or was confirmed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from tests.console.sign_in import sign_in
from tests.workitems.office import RULES, Office
from tests.workitems.steps.test_independent_votes import by_api, by_batch, by_console, by_service
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import GrantRecord
from workitems.approvers.step_votes import read_step_votes
from workitems.executions.close_item import edit_payload
from workitems.executions.re_evaluate import re_evaluate_step
from workitems.items.locks import locked_step
from workitems.models import DecisionStep
from workitems.steps.reachability_sweep import sweep_reachability

ENTRY_POINTS = pytest.mark.parametrize("approve", [by_service, by_api, by_batch, by_console])
type Approve = Callable[[Office, DecisionStep, str], str]
REFUSED = ("grant_too_late", "refused")


def take_role(office: Office, name: str = "ada", role: str = "finance", *, by: str = "ada") -> None:
    """Let an administrator grant a role. The office has one steward, so nobody confirms it."""
    with unit_of_work(office.tenant.id):
        grant_role(office.people[name], role, ctx=office.ctx(by))


def confirm_grant(office: Office, person: str, **which: str) -> None:
    with unit_of_work(office.tenant.id):
        GrantRecord.objects.filter(user=office.people[person], **which).update(confirmed_at=clock.now())


@ENTRY_POINTS
def test_a_role_taken_while_the_step_is_open_does_not_count(office: Office, approve: Approve) -> None:
    _, step, _ = office.awaiting()
    take_role(office)
    assert approve(office, step, "ada") in REFUSED
    confirm_grant(office, "ada", kind="role", name="finance")
    assert not approve(office, step, "ada")
    office.vote(step, "fay")
    assert office.step(step).status == "approved"


@ENTRY_POINTS
def test_a_role_from_before_the_first_step_counts(office: Office, approve: Approve) -> None:
    take_role(office)
    _, step, _ = office.awaiting()
    assert not approve(office, step, "ada")


def test_grants_of_the_operator_count_on_open_steps(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.join("frida", roles=("approver", "finance"))
    assert by_service(office, step, "frida") == ""


def test_a_grant_without_a_record_does_not_count(office: Office) -> None:
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        GrantRecord.objects.filter(user=office.people["fay"], kind="role", name="finance").delete()
    assert by_service(office, step, "fay") == "grant_too_late"


def test_a_role_withdrawn_and_granted_again_counts_from_then_on(office: Office) -> None:
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people["fay"], "finance", ctx=office.system)
    take_role(office, "fay")
    assert by_service(office, step, "fay") == "grant_too_late"


def test_a_scope_added_to_a_role_later_does_not_count(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {"scope": "decisions:decide", "count": 2}}, RULES[3])
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        define_role("viewer", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.ctx("ada"))
    assert by_service(office, step, "wim") == "grant_too_late"
    assert by_service(office, step, "vera") == ""


def test_replacement_steps_keep_the_time_of_the_first_one(office: Office) -> None:
    item, step, _ = office.awaiting()
    take_role(office)
    with unit_of_work(office.tenant.id):
        locked_item, locked = locked_step(step.id, ctx=office.system)
        re_evaluate_step(locked_item, locked, ctx=office.system)
    again = office.pending_step(item)
    assert again.id != step.id
    assert again.grants_as_of == step.grants_as_of
    assert by_service(office, again, "ada") == "grant_too_late"


def test_a_changed_payload_and_a_new_execution_keep_the_time(office: Office) -> None:
    item, step, _ = office.awaiting()
    take_role(office)
    office.on_item(item, edit_payload, payload={"amount": 700})
    started = office.execute(item)
    assert started.step is not None
    assert office.step(started.step).grants_as_of == step.grants_as_of
    assert by_service(office, started.step, "ada") == "grant_too_late"


def test_lists_pages_and_counting_agree(office: Office) -> None:
    item, step, _ = office.awaiting()
    take_role(office)
    api = office.api("ada")

    def mine() -> list[str]:
        return [row["decision_step_id"] for row in api.get("/decision-steps", {"mine": "true"}).json()["data"]]

    def eligible() -> set[str]:
        with unit_of_work(office.tenant.id):
            votes = read_step_votes(office.step(step), workflow_id=item.workflow_version.workflow_id)
            return {name for name, user in office.people.items() if user.id in votes.eligible_ids()}

    address = reverse("admin:workitems_decisionstep_change", args=[step.public_id])
    assert mine() == []
    assert "ada" not in eligible()
    page = sign_in(office.people["ada"]).get(address).content.decode()
    assert "your role finance began at" in page
    assert "data-key-approve" not in page
    explained = api.get(f"/work-items/{item.public_id}/explain").json()
    assert "approve or reject it" not in explained["you_may"]
    confirm_grant(office, "ada", kind="role", name="finance")
    assert mine() == [step.public_id]
    assert "ada" in eligible()
    assert "data-key-approve" in sign_in(office.people["ada"]).get(address).content.decode()


def test_the_refusal_says_when_the_grant_began_and_who_can_confirm_it(office: Office) -> None:
    _, step, _ = office.awaiting()
    take_role(office)
    with pytest.raises(errors.GrantTooLate, match=r"your role finance began at .*steward who is independent"):
        office.vote(step, "ada")


def test_reachability_follows_confirmations(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "count": 4}}, RULES[3])
    item, _, _ = office.awaiting()
    take_role(office)
    sweep_reachability()
    assert office.item(item).nobody_can_decide
    confirm_grant(office, "ada", kind="role", name="finance")
    sweep_reachability()
    assert not office.item(item).nobody_can_decide
