"""Lifting a legal hold takes people: a steward asks, an independent one publishes. The operator lifts its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.console.sign_in import confirm, sign_in, step_up
from tests.factories import acting_system
from tests.threada_site.identity.change_sets.offices import refusal
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import end_four_eyes
from threada_site.identity.principals import remove_member
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.tenancy.change_sets import ProposedChange, store_proposal
from threada_site.tenancy.four_eyes import LEGAL_HOLD_FOUR_EYES
from threada_site.tenancy.models import ChangeSet
from workitems.models import LegalHold
from workitems.retention.erasure import erase_principal
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold


def hold(office: Office, ctx: ActingContext) -> LegalHold:
    with unit_of_work(office.tenant.id):
        return set_legal_hold(LegalHoldRequest(reason="The auditor asked.", workflow="payments"), ctx=ctx)


def lift(office: Office, legal_hold: LegalHold, ctx: ActingContext) -> None:
    with unit_of_work(office.tenant.id):
        lift_legal_hold(legal_hold.id, reason="Q-LIFT", ctx=ctx)


def stored(office: Office) -> LegalHold:
    with unit_of_work(office.tenant.id):
        return LegalHold.objects.get()


def propose(office: Office, legal_hold: LegalHold, by: str = "ada") -> ChangeSet:
    with pytest.raises(errors.ConfirmationRequired) as raised:
        lift(office, legal_hold, office.ctx(by))
    with unit_of_work(office.tenant.id):
        return store_proposal(raised.value, ctx=office.ctx(by))


def publish(office: Office, row: ChangeSet, by: str) -> Any:
    return office.api(by).post(f"/change-sets/{row.public_id}/publish", {"digest": row.digest})


def test_a_steward_alone_lifts_no_legal_hold(office: Office) -> None:
    for name in ("bea", "puppet"):
        office.join(name, roles=("tenant_admin",))
    office.depend("puppet", on="ada")
    legal_hold = hold(office, office.ctx("ada"))
    row = propose(office, legal_hold)
    for by in ("ada", "puppet"):
        assert refusal(publish(office, row, by)) == (403, "second_person_required")
    assert stored(office).lifted_at is None
    assert publish(office, row, "bea").status_code == 200
    lifted = stored(office)
    assert (lifted.lifted_by, lifted.lifted_reason) == (office.people["ada"].id, "Q-LIFT")
    (body,) = office.bodies("legal_hold.lifted")
    assert body["actor"]["principal"] == office.people["bea"].public_id
    assert body["inputs"]["proposed_by"] == office.people["ada"].public_id


def test_the_proposal_shows_what_is_held(office: Office) -> None:
    with pytest.raises(errors.ConfirmationRequired) as raised:
        lift(office, hold(office, office.ctx("ada")), office.ctx("ada"))
    change: ProposedChange = raised.value.change
    assert (change.rule, change.operation) == ("legal_hold_four_eyes", "legal_hold.lift")
    assert change.before["holds"] == {"workflow_id": "payments"}
    assert (change.before["in_force"], change.after["in_force"]) == (True, False)


@pytest.mark.parametrize("kind", ["service", "agent"])
def test_machines_lift_no_legal_hold(office: Office, kind: str) -> None:
    office.join("robo", kind=kind, roles=("tenant_admin",))
    for setter in (office.ctx("ada"), office.system, office.ctx("robo")):
        with pytest.raises(errors.PersonRequired):
            lift(office, hold(office, setter), office.ctx("robo"))


def test_the_operator_lifts_what_the_operator_set(office: Office) -> None:
    command = acting_system(office.tenant, EntryPoint.COMMAND)
    with pytest.raises(errors.PersonRequired):
        lift(office, hold(office, office.ctx("ada")), command)
    own = hold(office, command)
    with pytest.raises(errors.ConfirmationRequired):
        lift(office, own, office.ctx("ada"))
    lift(office, own, command)


def test_two_stewards_turn_the_rule_off(office: Office) -> None:
    office.join("bea", roles=("tenant_admin",))
    legal_hold = hold(office, office.ctx("ada"))
    with unit_of_work(office.tenant.id):
        assert end_four_eyes(LEGAL_HOLD_FOUR_EYES, ctx=office.ctx("ada")).is_required
    with pytest.raises(errors.ConfirmationRequired):
        lift(office, legal_hold, office.ctx("ada"))
    with unit_of_work(office.tenant.id), pytest.raises(errors.SecondPersonRequired):
        end_four_eyes(LEGAL_HOLD_FOUR_EYES, ctx=office.ctx("ada"))
    with unit_of_work(office.tenant.id):
        assert not end_four_eyes(LEGAL_HOLD_FOUR_EYES, ctx=office.ctx("bea")).is_required
    lift(office, legal_hold, office.ctx("ada"))
    assert stored(office).lifted_by == office.people["ada"].id


def test_api_shows_the_rule_as_on_by_default(office: Office) -> None:
    assert office.api("ada").get("/four-eyes").json()["legal_hold_four_eyes"] is True


def test_the_erasure_of_the_proposer_empties_the_reason(office: Office) -> None:
    for name in ("bea", "carl"):
        office.join(name, roles=("tenant_admin",))
    row = propose(office, hold(office, office.ctx("bea")), by="bea")
    assert publish(office, row, "ada").status_code == 200
    with unit_of_work(office.tenant.id):
        remove_member(office.people["bea"], ctx=office.system)
        erase_principal(office.people["bea"], ctx=office.system)
        row.refresh_from_db()
    assert "Q-LIFT" not in f"{row.arguments} {stored(office).lifted_reason}"


def test_the_console_sets_and_proposes_to_lift(office: Office) -> None:
    office.join("bea", roles=("tenant_admin",))
    ada, bea, wim = (sign_in(office.people[name]) for name in ("ada", "bea", "wim"))
    form = {"workflow": "payments", "reason": "The auditor asked."}
    assert ada.post(reverse("admin:workitems_legalhold_new"), form).status_code == 302
    legal_hold = stored(office)
    assert legal_hold.set_by == office.people["ada"].id
    page = reverse("admin:workitems_legalhold_change", args=[legal_hold.public_id])
    assert "Lift legal hold" in ada.get(page).content.decode()
    lifting = reverse("admin:workitems_legalhold_lift", args=[legal_hold.public_id])
    assert "(scope_missing)" in wim.post(lifting, {"reason": "Over."}).content.decode()
    said = ada.post(lifting, {"reason": "Over."}, follow=True).content.decode()
    assert "A second person must publish this change" in said
    with unit_of_work(office.tenant.id):
        row = ChangeSet.objects.get()
    publication = reverse("admin:tenancy_changeset_publish", args=[row.public_id])
    confirm(step_up(bea), publication, {"digest": row.digest})
    assert stored(office).lifted_at is not None
