"""`/decision-steps`: read, vote, claim and release decision steps."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import apply_filters, order_of
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.database.keyset import Order
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.waits import Awaited, Watched
from workitems import selectors
from workitems.api.filters import DecisionStepFilters
from workitems.api.permits.views import proposal_in
from workitems.api.resources.steps import STEP, VOTE_ANSWER
from workitems.api.shapes import CAST_VOTE
from workitems.approvers import count_votes
from workitems.approvers.active_members import ActiveMembers, active_members_of
from workitems.approvers.step_votes import StepVotes
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.items.sensitive import listed, record_reading
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep
from workitems.permits.propose import vote_with_permit
from workitems.steps.claims import claim_step, release_step
from workitems.steps.voting import Ballot, cast_vote


class DecisionSteps(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listDecisionSteps",
        "List decision steps",
        tag="Decisions",
        answers={200: page_of(STEP)},
        filters=DecisionStepFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(DecisionStepFilters, selectors.decision_steps(request.auth), request)
        if request.query_params.get("mine") == "true":
            rows = selectors.steps_pending_for(request.auth, rows)
        active_members, now = active_members_of(request.auth.tenant_id), clock.now()
        return Response(
            paginate(
                selectors.with_votes(rows),
                request,
                represent=lambda step: STEP.represent(
                    listed(step, step.work_item.data_class), result=vote_result_of(step, active_members), now=now
                ),
                order=_order(request),
            )
        )


def _order(request: Any) -> Order:
    """Return the order of the list. That by urgency is for pending steps: others have no deadline."""
    order = order_of(DecisionStepFilters, request)
    query = request.query_params
    if not order.is_by_id and query.get("mine") != "true" and query.getlist("status") != [StepStatus.PENDING.value]:
        problem = FieldError("?sort", "by urgent_at needs status=pending or mine=true", "invalid")
        raise errors.InvalidRequest("The query parameters are invalid.", errors=[problem])
    return order


class DecisionStepDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readDecisionStep",
        "Read a decision step with its exact envelope",
        tag="Decisions",
        answers={200: STEP},
        can_wait=True,
    )
    def get(self, request: Any, decision_step_id: str) -> Response:
        step_id = path_id(ids.DECISION_STEP, decision_step_id)
        shown = shown_step(step_id, ctx=request.auth)
        waited = wait_for_change(
            request,
            Watched(Awaited.DECISION_STEP, step_id, request.auth.tenant_id, frozenset({shown["status"]})),
            is_final=shown["status"] != StepStatus.PENDING,
        )
        return Response(shown, headers=waited)


class DecisionStepVotes(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "castVote",
        "Vote on a decision step",
        tag="Decisions",
        body=CAST_VOTE,
        answers={201: VOTE_ANSWER},
        headers=("Location",),
        reasons=(
            "step_closed",
            "voter_excluded",
            "voter_not_independent",
            "invitation_not_accepted",
            "grant_too_late",
            "voter_not_eligible",
            "stage_not_open",
            "already_voted",
            "envelope_changed",
            "reason_code_required",
            "unknown_reason_code",
            "step_up_required",
            "vote_authentication_required",
            "comment_too_long",
            "permit_not_offered",
            "permit_too_wide",
            "permit_closed",
        ),
    )
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        body = CAST_VOTE.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        ballot = Ballot(
            decision=body["decision"],
            envelope_sha256=body["envelope_sha256"],
            reason_code=body.get("reason_code", ""),
            comment=body.get("comment", ""),
        )
        ctx = collecting_receipts(request.auth)
        if "permit" in body:
            vote, permit = vote_with_permit(item, step, ballot, proposal_in(body["permit"]), ctx=ctx)
        else:
            vote, permit = cast_vote(item, step, ballot, ctx=ctx), None
        answer = VOTE_ANSWER.represent(vote, step=step, item=item, permit=permit, receipt_promise=receipt_promise(ctx))
        location = {"Location": f"/decision-steps/{step.public_id}"}
        return Response(answer, status=201, headers=location)


class ClaimDecisionStep(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "claimDecisionStep",
        "Claim a decision step",
        tag="Decisions",
        body=EMPTY,
        answers={200: STEP},
        reasons=(
            "step_closed",
            "step_claimed",
            "voter_excluded",
            "voter_not_eligible",
            "voter_not_independent",
            "invitation_not_accepted",
            "grant_too_late",
            "stage_not_open",
        ),
    )
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        EMPTY.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        claim_step(item, step, ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))


class ReleaseDecisionStep(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "releaseDecisionStep",
        "Release a claim",
        tag="Decisions",
        body=EMPTY,
        answers={200: STEP},
        reasons=(
            "step_closed",
            "step_claimed",
            "voter_excluded",
            "voter_not_eligible",
            "voter_not_independent",
            "invitation_not_accepted",
            "grant_too_late",
            "stage_not_open",
        ),
    )
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        EMPTY.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        release_step(item, step, ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))


def shown_step(step_id: Any, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the representation of one step. Raise `NotFound`."""
    step = selectors.with_votes(selectors.decision_steps(ctx)).filter(id=step_id).first()
    if step is None:
        raise errors.NotFound
    record_reading(step.work_item, ctx=ctx)
    result = vote_result_of(step, active_members_of(ctx.tenant_id))
    return STEP.represent(step, result=result, now=clock.now())


def vote_result_of(step: DecisionStep, active_members: ActiveMembers) -> count_votes.VoteResult | None:
    """Return the result of the votes on a pending step, from rows that are loaded already."""
    if step.status != StepStatus.PENDING:
        return None
    workflow_id = step.work_item.workflow_version.workflow_id
    return StepVotes(step, tuple(step.votes.all()), active_members, workflow_id).result
