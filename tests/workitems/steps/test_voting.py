from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from integrations.configuration.configure import upsert_integration
from tests.factories import acting_system
from tests.jobs import queued_jobs
from tests.workitems.office import ASKS_TWO, BANK, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import withdraw_role
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import EntryPoint, Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import commitment
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Vote
from workitems.steps.claims import claim_step, release_step
from workitems.steps.voting import Ballot, cast_vote


def test_the_last_vote_dispatches(office: Office) -> None:
    item, step, execution = office.awaiting()
    jobs = len(queued_jobs())
    assert office.vote(step, "fay").counted is True
    assert (office.step(step).status, len(queued_jobs())) == ("pending", jobs)
    office.vote(step, "finn")
    assert (office.step(step).status, office.item(item).status) == ("approved", "executing")
    assert office.execution(execution).status == "started"
    assert queued_jobs()[jobs:] == [
        ("workitems.run_execution", {"tenant_id": str(office.tenant.id), "execution_id": str(execution.id)})
    ]
    assert office.kinds(item)[-4:] == ["vote.recorded", "vote.recorded", "decision_step.approved", "execution.approved"]


def test_a_vote_is_bound_to_the_envelope_and_recorded_as_commitments(office: Office) -> None:
    item, step, _ = office.awaiting()
    vote = office.vote(step, "fay", comment="Looks like Hooli.")
    assert vote.envelope_sha256 == step.envelope_sha256
    (body,) = office.bodies("vote.recorded")
    assert body["inputs"] == {
        "cast_at": rfc3339(vote.created_at),
        "decision_step_id": step.public_id,
        "vote_id": vote.public_id,
        "envelope_sha256": step.envelope_sha256,
        "comment_commitment": commitment(bytes(item.payload_salt), "Looks like Hooli."),
        "authentication": vote.authentication,
    }
    assert body["outcome"] == {"decision": "approve", "counted": True}
    assert body["actor"]["principal"] == office.people["fay"].public_id


@pytest.mark.parametrize(
    ("by", "changes", "refusal"),
    [
        ("vera", {}, errors.VoterNotEligible),
        ("wim", {}, errors.PermissionDenied),
        ("rita", {}, errors.PermissionDenied),
        ("fay", {"envelope_sha256": "0" * 64}, errors.EnvelopeChanged),
        ("fay", {"decision": "reject", "reason_code": ""}, errors.ReasonCodeRequired),
        ("fay", {"decision": "reject", "reason_code": "UNKNOWN"}, errors.UnknownReasonCode),
    ],
)
def test_what_is_refused_leaves_no_vote(
    office: Office, by: str, changes: dict[str, Any], refusal: type[ThreadaError]
) -> None:
    item, step, _ = office.awaiting()
    told = office.kinds(item)
    with pytest.raises(refusal):
        office.vote(step, by, **changes)
    assert office.count(Vote) == 0
    assert office.kinds(item) == told


def test_one_person_votes_once(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    for decision in ("approve", "reject"):
        with pytest.raises(errors.AlreadyVoted):
            office.vote(step, "fay", decision)
    assert office.count(Vote) == 1


def test_the_database_keeps_votes_single_and_for_good(office: Office) -> None:
    _, step, _ = office.awaiting()
    vote = office.vote(step, "fay")
    with unit_of_work(office.tenant.id):
        with pytest.raises(IntegrityError, match="vote_once"), transaction.atomic():
            Vote.objects.create(
                tenant=office.tenant,
                step=step,
                voter=office.people["fay"],
                voter_kind="human",
                decision="reject",
                envelope_sha256=step.envelope_sha256,
                counted=True,
            )
        for change in (lambda rows: rows.update(counted=False), lambda rows: rows.delete()):
            with pytest.raises(DatabaseError, match="permission denied for table workitems_vote"), transaction.atomic():
                change(Vote.objects.filter(id=vote.id))


def test_whoever_has_a_part_in_it_is_excluded(office: Office) -> None:
    office.join("max", roles=("tenant_admin", "finance"))
    _, step, _ = office.awaiting(by="max")
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "max")
    assert set(step.excluded_ids) == {office.people["max"].id, office.people["rita"].id}


def test_the_named_requester_is_excluded_too(office: Office) -> None:
    _, step, _ = office.awaiting(by="ada", requester="fay")
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "fay")


@pytest.mark.parametrize("kind", ["agent", "service"])
def test_what_is_no_person_advises(office: Office, kind: str) -> None:
    office.join("robo", kind=kind, roles=("approver", "finance"))
    item, step, _ = office.awaiting()
    assert office.vote(step, "robo", "reject").counted is False
    assert office.step(step).status == "pending"
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.item(item).status == "executing"


def test_who_lost_the_role_counts_no_more(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "fay")
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people["fay"], "finance", ctx=office.system)
    office.vote(step, "finn")
    assert office.step(step).status == "pending"
    office.vote(step, "fred")
    assert office.item(item).status == "executing"


def test_a_narrowed_credential_does_not_count(office: Office) -> None:
    _, step, _ = office.awaiting()
    ballot = Ballot(decision="approve", envelope_sha256=step.envelope_sha256)
    narrowed = office.ctx("fay", role="approver")
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        with pytest.raises(errors.VoterNotEligible):
            cast_vote(item, locked, ballot, ctx=narrowed)


def test_a_rejection_may_leave_the_item_ready(office: Office) -> None:
    office.upsert_workflow(on_reject="ready")
    item, step, execution = office.awaiting()
    office.vote(step, "fay", "reject")
    assert (office.item(item).status, office.execution(execution).status) == ("ready", "rejected")
    assert office.step(step).status == "rejected"
    again = office.execute(item)
    assert again.execution.id != execution.id


def test_a_rule_may_take_two_rejections(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "veto": 2}}, *RULES[2:])
    item, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    assert office.step(step).status == "pending"
    office.vote(step, "finn", "reject")
    assert (office.step(step).status, office.item(item).status) == ("rejected", "rejected")


def test_a_closed_step_takes_no_vote(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    with pytest.raises(errors.StepClosed):
        office.vote(step, "finn")


def test_an_overdue_step_takes_no_vote(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.set_step(step, expires_at=clock.now() - timedelta(seconds=1))
    with pytest.raises(errors.StepClosed):
        office.vote(step, "fay")


def test_a_changed_integration_takes_no_vote(office: Office) -> None:
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        ctx = acting_system(office.tenant, EntryPoint.COMMAND)
        upsert_integration("bank", {**BANK, "base_url": "http://127.0.0.1:10"}, ctx=ctx)
    with pytest.raises(errors.StepClosed):
        office.vote(step, "fay")


def test_claims_need_the_scope_of_deciding(office: Office) -> None:
    """An approver whose credential holds only workitems:read counts on the step and still may not claim it."""
    _, step, _ = office.awaiting()
    ctx = office.ctx("fay", scopes=[Scope.WORKITEMS_READ.value])
    with unit_of_work(office.tenant.id):
        for operation in (claim_step, release_step):
            with pytest.raises(errors.PermissionDenied, match="decisions:decide"):
                operation(*locked_step(step.id, ctx=office.system), ctx=ctx)
    assert office.step(step).claimed_by_id is None


def test_the_database_allows_one_pending_step_per_item(office: Office) -> None:
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        second = DecisionStep.objects.get(id=step.id)
        second.id = ids.new_uuid()
        with pytest.raises(IntegrityError, match="decisionstep_one_pending_per_item"), transaction.atomic():
            second.save(force_insert=True)
        second.status = "superseded"
        second.save(force_insert=True)


def test_a_claim_is_exclusive_and_ends_by_itself(office: Office) -> None:
    item, step, _ = office.awaiting()

    def operation(what: Any, by: str) -> DecisionStep:
        with unit_of_work(office.tenant.id):
            what(*locked_step(step.id, ctx=office.system), ctx=office.ctx(by))
        return office.step(step)

    told = office.kinds(item)
    assert operation(release_step, "fay").claimed_by_id is None
    assert office.kinds(item) == told
    claimed = operation(claim_step, "fay")
    assert claimed.claimed_by_id == office.people["fay"].id
    assert claimed.claimed_until is not None
    assert timedelta(minutes=29) < claimed.claimed_until - clock.now() <= timedelta(minutes=30)
    for what in (claim_step, release_step):
        with pytest.raises(errors.StepClaimed):
            operation(what, "finn")
    office.vote(step, "finn")
    office.set_step(step, claimed_until=clock.now() - timedelta(seconds=1))
    assert operation(claim_step, "finn").claimed_by_id == office.people["finn"].id
    assert operation(release_step, "finn").claimed_until is None
    with pytest.raises(errors.VoterNotEligible):
        operation(claim_step, "vera")
    with pytest.raises(errors.PermissionDenied):
        operation(release_step, "wim")
    assert office.kinds(item).count("decision_step.claimed") == 2
