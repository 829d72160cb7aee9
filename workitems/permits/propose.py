"""Proposal and approval of permits, by people who vote on a step.

A permit is in effect when approvals of exactly its bytes satisfy the approval rule of the step, and the step itself is
approved. An approval of the single execution is no approval of a permit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integrations.models import Execution
from policies.language.approvals import SumLimit, from_json
from policies.selectors import policy_decision
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import new_salt
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.models import Membership
from workitems.approvers.count_votes import Outcome
from workitems.approvers.step_votes import read_step_votes
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Permit, PermitApproval, Vote, WorkItem
from workitems.permits.records import approved_terms, record_permit, set_limits
from workitems.permits.terms import MOST_PRINCIPALS, Terms, beyond_limits, bound_errors
from workitems.steps.vote_authentication import check_authentication, stored_authentication
from workitems.steps.voting import Ballot, cast_vote, check_permitted, execution_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Terms that an approver proposes. The step gives the others: workflow, action, integration and rules."""

    ends_at: datetime
    max_count: int
    principals: Sequence[str]
    max_sum: SumLimit | None = None
    bounds: Sequence[str] = ()


def vote_with_permit(
    item: WorkItem, step: DecisionStep, ballot: Ballot, proposal: Proposal, *, ctx: ActingContext
) -> tuple[Vote, Permit]:
    """Approve a locked step, and with it a permit. Propose the permit unless somebody has proposed equal terms.

    Raises the errors of `cast_vote`, `PermitNotOffered`, `PermitTooWide` and `InvalidRequest`.
    """
    require_unit_of_work(ctx.tenant_id)
    if ballot.decision != "approve":
        raise errors.InvalidRequest(errors=[FieldError("/permit", "goes with an approval only", "invalid")])
    if ctx.principal_kind is not PrincipalKind.HUMAN:
        raise errors.VoterNotEligible("Only people approve permits. Leave permit out to give your advice.")
    execution = execution_of(step)
    terms = _terms(item, step, execution, proposal, ctx=ctx)
    vote = cast_vote(item, step, ballot, ctx=ctx)
    permit = _same_terms(step, terms) or _propose(item, step, terms, ctx=ctx)
    _approve(permit, step, vote, workflow_id=item.workflow_version.workflow_id, ctx=ctx)
    return vote, permit


def approve_permit(item: WorkItem, step: DecisionStep, permit: Permit, sha256: str, *, ctx: ActingContext) -> Permit:
    """Approve a permit that somebody else proposed on a locked step, after the own vote for the execution.

    Raises `PermitChanged`, `PermitClosed`, `VoterNotEligible`, `AlreadyVoted`, and the errors of authentication.
    """
    require_unit_of_work(ctx.tenant_id)
    check_permitted(item, ctx=ctx)
    if sha256 != permit.sha256:
        raise errors.PermitChanged("The digest is not that of the permit. Read the permit again.")
    _check_proposed(permit, step)
    vote = Vote.objects.filter(tenant_id=step.tenant_id, step=step, voter_id=ctx.principal_id).first()
    if vote is None or not vote.counted or vote.decision != "approve":
        raise errors.VoterNotEligible("Approve the step first: a permit is approved by those who approved the step.")
    check_authentication(from_json(step.rule), ctx=ctx)
    if PermitApproval.objects.filter(tenant_id=permit.tenant_id, permit=permit, voter_id=ctx.principal_id).exists():
        raise errors.AlreadyVoted("You have approved this permit already.")
    _approve(permit, step, vote, workflow_id=item.workflow_version.workflow_id, ctx=ctx)
    return permit


def _terms(
    item: WorkItem, step: DecisionStep, execution: Execution | None, proposal: Proposal, *, ctx: ActingContext
) -> Terms:
    limits = from_json(step.rule).permit
    if limits is None or execution is None:
        raise errors.PermitNotOffered
    decision = policy_decision(step.policy_decision_id, tenant_id=step.tenant_id) if step.policy_decision_id else None
    if decision is None:
        raise errors.PermitNotOffered("No policy rule requires this approval, so no rule allows a permit.")
    now = clock.now()
    terms = Terms(
        workflow=item.workflow,
        integration=execution.integration,
        integration_version=ids.public_id(ids.INTEGRATION_VERSION, execution.integration_version_id),
        action=execution.action,
        step=step.public_id,
        rules=tuple(sorted({(rule["policy"], rule["rule"]) for rule in decision.matched})),
        ends_at=proposal.ends_at.replace(microsecond=0),
        max_count=proposal.max_count,
        max_sum=proposal.max_sum,
        principals=tuple(sorted(set(proposal.principals))),
        bounds=tuple(sorted(set(proposal.bounds))),
    )
    invalid = [*bound_errors(terms.bounds, "/permit/bounds"), *_unknown_principals(terms, ctx=ctx)]
    if terms.ends_at <= now:
        invalid.append(FieldError("/permit/ends_at", "is in the past", "invalid"))
    if invalid:
        raise errors.InvalidRequest("The permit cannot be used. Fix the fields named.", errors=invalid)
    if wide := list(beyond_limits(terms, limits, proposed_at=now)):
        raise errors.PermitTooWide("The permit exceeds the limits of the rule. See errors.", errors=wide)
    return terms


def _unknown_principals(terms: Terms, *, ctx: ActingContext) -> list[FieldError]:
    """Return an error unless all principals are members."""
    parsed = {ids.parse_public_id(ids.PRINCIPAL, each) for each in terms.principals}
    if not parsed or len(parsed) > MOST_PRINCIPALS:
        return [FieldError("/permit/principals", f"must name 1 to {MOST_PRINCIPALS} principals", "invalid")]
    known = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id__in=[each for each in parsed if each])
    if known.count() < len(parsed):
        return [FieldError("/permit/principals", "names somebody who is no member here", "unknown")]
    return []


def _same_terms(step: DecisionStep, terms: Terms) -> Permit | None:
    """Return the permit with these terms, whatever its salt, that was proposed on the step, locked."""
    rows = Permit.objects.select_for_update(of=("self",)).filter(tenant_id=step.tenant_id, step_id=step.id)
    for permit in rows.order_by("id"):
        if not is_erased(permit.body) and replace(approved_terms(permit), salt="").canonical() == terms.canonical():
            _check_proposed(permit, step)
            return permit
    return None


def _check_proposed(permit: Permit, step: DecisionStep) -> None:
    """Raise `PermitClosed` unless approvals of the permit can still count."""
    if permit.status != "proposed" or step.status not in (StepStatus.PENDING, StepStatus.APPROVED):
        raise errors.PermitClosed(f"The permit is {permit.status} and its step is {step.status}.")
    if permit.ends_at <= clock.now():
        raise errors.PermitClosed("The permit would have ended already.")


def _propose(item: WorkItem, step: DecisionStep, terms: Terms, *, ctx: ActingContext) -> Permit:
    terms = replace(terms, salt=new_salt().hex())
    permit = Permit(
        tenant_id=step.tenant_id,
        workflow=terms.workflow,
        workflow_id=item.workflow_version.workflow_id,
        integration=terms.integration,
        action=terms.action,
        step_id=step.id,
        work_item_id=item.id,
        body=terms.canonical(),
        sha256=terms.sha256,
        rule=step.rule,
        grants_as_of=step.grants_as_of,
        escalated_to=step.escalated_to,
        proposed_by_id=ctx.principal_id,
    )
    set_limits(permit, terms)
    permit.save(force_insert=True)
    record_permit("proposed", permit, ctx=ctx)
    return permit


def _approve(permit: Permit, step: DecisionStep, vote: Vote, *, workflow_id: uuid.UUID, ctx: ActingContext) -> None:
    """Record the approval. The permit takes effect if its approvals are enough and the step is approved."""
    approval = PermitApproval(
        tenant_id=permit.tenant_id,
        permit=permit,
        sha256=permit.sha256,
        voter_id=ctx.principal_id,
        vote_id=vote.id,
        stands_for=vote.stands_for,
        authentication=stored_authentication(ctx),
    )
    approval.save(force_insert=True)
    record_permit("approved", permit, ctx=ctx, vote=vote.public_id, authentication=approval.authentication)
    if step.status == StepStatus.APPROVED and _is_approved(permit, step, workflow_id=workflow_id):
        permit.status, permit.in_effect_at = "in_effect", clock.now()
        permit.save(update_fields=["status", "in_effect_at"])
        record_permit("in_effect", permit, ctx=ctx)


def _is_approved(permit: Permit, step: DecisionStep, *, workflow_id: uuid.UUID) -> bool:
    """Return True if the approvals of the permit satisfy the rule of the step by themselves."""
    rejections = Vote.objects.filter(tenant_id=step.tenant_id, step=step, counted=True, decision="reject")
    cast = [*approval_votes(permit), *rejections]
    return read_step_votes(step, cast, workflow_id=workflow_id).result.outcome is Outcome.APPROVED


def approval_votes(permit: Permit) -> list[Vote]:
    """Return the approvals of the permit's exact bytes as votes that are not saved."""
    rows = PermitApproval.objects.filter(tenant_id=permit.tenant_id, permit=permit, sha256=permit.sha256)
    return [
        Vote(
            id=row.vote_id,
            tenant_id=row.tenant_id,
            step_id=permit.step_id,
            voter_id=row.voter_id,
            voter_kind=PrincipalKind.HUMAN.value,
            decision="approve",
            counted=True,
            stands_for=row.stands_for,
            authentication=row.authentication,
            created_at=row.created_at,
        )
        for row in rows.order_by("id")
    ]
