"""Votes of people who are not independent, through each entry point."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from tests.console.sign_in import sign_in
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import issue_credential
from threada_site.kernel import errors
from threada_site.tenancy.models import Membership
from workitems.approvers.step_votes import read_step_votes
from workitems.explain.gather import explain_work_item
from workitems.models import DecisionStep, Vote
from workitems.steps.claims import claim_step
from workitems.steps.reachability_sweep import sweep_reachability

CANNOT_COUNT = "voter_not_independent"


def by_service(office: Office, step: DecisionStep, by: str) -> str:
    try:
        office.vote(step, by)
    except errors.ThreadaError as refusal:
        return refusal.reason_code
    return ""


def by_api(office: Office, step: DecisionStep, by: str) -> str:
    answer = office.api(by).post(
        f"/decision-steps/{step.public_id}/votes", {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    )
    return answer.json().get("reason_code") or ""


def by_batch(office: Office, step: DecisionStep, by: str) -> str:
    entry = {"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256}
    answer = office.api(by).post("/decision-steps/batch-votes", {"decision": "approve", "steps": [entry]})
    return answer.json().get("reason_code") or ""


def by_console(office: Office, step: DecisionStep, by: str) -> str:
    address = reverse("admin:workitems_decisionstep_approve", args=[step.public_id])
    before = office.count(Vote)
    sign_in(office.people[by]).post(address, {"envelope_sha256": step.envelope_sha256})
    return "" if office.count(Vote) > before else "refused"


ENTRY_POINTS = pytest.mark.parametrize("approve", [by_service, by_api, by_batch, by_console])
type Approve = Callable[[Office, DecisionStep, str], str]


@ENTRY_POINTS
def test_an_administrator_cannot_approve_with_two_accounts_of_their_making(office: Office, approve: Approve) -> None:
    for puppet in ("fay", "finn"):
        office.depend(puppet, on="ada", reason="issued")
    item, step, _ = office.awaiting()
    assert not approve(office, step, "fay")
    assert approve(office, step, "finn") in (CANNOT_COUNT, "refused")
    assert (office.step(step).status, office.item(item).status) == ("pending", "awaiting_approval")
    assert not approve(office, step, "fred")
    assert office.step(step).status == "approved"


@ENTRY_POINTS
def test_a_confirmed_account_counts_again(office: Office, approve: Approve) -> None:
    office.depend("finn", on="fay")
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    assert approve(office, step, "finn") in (CANNOT_COUNT, "refused")
    office.confirm("finn")
    assert not approve(office, step, "finn")
    assert office.step(step).status == "approved"


@ENTRY_POINTS
def test_an_account_whose_invitation_was_not_accepted_cannot_vote(office: Office, approve: Approve) -> None:
    _, step, _ = office.awaiting()
    office.api("fay")
    with unit_of_work(office.tenant.id):
        Membership.objects.filter(user=office.people["fay"]).update(accepted_at=None)
    assert approve(office, step, "fay") in ("invitation_not_accepted", "principal_inactive", "refused")
    assert office.count(Vote) == 0


def test_a_vote_does_not_count_while_its_voter_has_not_accepted(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    with unit_of_work(office.tenant.id):
        Membership.objects.filter(user=office.people["fay"]).update(accepted_at=None)
    office.vote(step, "finn")
    assert office.step(step).status == "pending"
    office.vote(step, "fred")
    assert office.step(step).status == "approved"


def test_the_refusal_names_the_vote_and_what_ends_the_dependence(office: Office) -> None:
    office.depend("finn", on="fay")
    _, step, _ = office.awaiting()
    vote = office.vote(step, "fay")
    with pytest.raises(errors.VoterNotIndependent, match=r"vote of fay.*independent steward") as refused:
        office.vote(step, "finn")
    assert refused.value.extensions["vote_id"] == vote.public_id
    with unit_of_work(office.tenant.id), pytest.raises(errors.VoterNotIndependent):
        claim_step(office.item(vote.step.work_item), vote.step, ctx=office.ctx("finn"))


def test_a_dependent_person_may_reject(office: Office) -> None:
    office.depend("finn", on="fay")
    item, step, _ = office.awaiting()
    office.vote(step, "fay")
    office.vote(step, "finn", "reject")
    assert (office.step(step).status, office.item(item).status) == ("rejected", "rejected")


def test_two_rejections_of_dependent_people_are_one(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "veto": 2}}, RULES[3])
    office.depend("finn", on="fay")
    _, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    office.vote(step, "finn", "reject")
    assert office.step(step).status == "pending"


@ENTRY_POINTS
def test_the_requesters_second_account_cannot_approve(office: Office, approve: Approve) -> None:
    office.depend("rita", on="ada")
    office.depend("fay", on="ada")
    _, step, _ = office.awaiting()
    assert approve(office, step, "fay") in (CANNOT_COUNT, "refused")
    assert office.count(Vote) == 0


def test_a_requester_who_has_left_keeps_dependents_excluded(office: Office) -> None:
    office.depend("rita", on="ada")
    office.depend("fay", on="ada")
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        Membership.objects.filter(user=office.people["rita"]).delete()
    assert by_service(office, step, "fay") == CANNOT_COUNT
    office.confirm("fay")
    assert by_service(office, step, "fay") == ""


def test_who_issued_the_requesting_agents_credential_cannot_approve(office: Office) -> None:
    office.join("robo", kind="agent", roles=("requester",))
    office.join("max", roles=("tenant_admin", "finance"))
    with unit_of_work(office.tenant.id):
        issue_credential(
            principal=office.people["robo"], scopes=["workitems:read"], label="robo", ctx=office.ctx("max")
        )
    _, step, _ = office.awaiting(by="robo")
    assert by_service(office, step, "max") == CANNOT_COUNT
    assert by_service(office, step, "fay") == ""


def test_lists_and_explain_agree_with_the_counting(office: Office) -> None:
    for puppet in ("fay", "finn"):
        office.depend(puppet, on="ada")
    item, step, _ = office.awaiting()
    office.vote(step, "fay")
    with unit_of_work(office.tenant.id):
        votes = read_step_votes(office.step(step), workflow_id=item.workflow_version.workflow_id)
        assert votes.eligible_ids() - votes.voters == {office.people["fred"].id}
        may = explain_work_item(office.item(item), ctx=office.ctx("finn")).you_may
    assert "approve or reject it" not in may
    assert any(line.startswith("reject it;") for line in may)
    shown = office.api("finn").get(f"/decision-steps/{step.public_id}").json()
    assert shown["waiting_for"] == [{"role": "finance", "missing": 1}]
    page = sign_in(office.people["finn"]).get(reverse("admin:workitems_decisionstep_change", args=[step.public_id]))
    assert b"data-key-approve" not in page.content
    assert b"cannot count beside the vote of fay" in page.content
    assert b"data-key-reject" in page.content


def test_a_step_that_only_dependent_people_can_complete_is_reported(office: Office) -> None:
    for puppet in ("finn", "fred"):
        office.depend(puppet, on="fay")
    item, _, _ = office.awaiting()
    sweep_reachability()
    assert office.item(item).nobody_can_decide
    office.confirm("finn")
    sweep_reachability()
    assert not office.item(item).nobody_can_decide
