"""`/decision-steps`: read, vote, claim, change, reassign and escalate decision steps."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from policies.language.approvals import Leaf, LeafKind
from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import order_of
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.database.keyset import Order
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError, ThreadaError
from threada_site.kernel.waits import Awaited, Watched
from workitems import selectors
from workitems.api.filters import DecisionStepFilters
from workitems.api.payload_bodies import PayloadBody
from workitems.api.permits.views import proposal_in
from workitems.api.resources.steps import STEP, STEP_AMENDED, VOTE_ANSWER, VOTES_CAST
from workitems.api.shapes import AMEND_STEP, CAST_BATCH_VOTES, CAST_VOTE, ESCALATE_STEP, REASSIGN_STEP
from workitems.approvers import count_votes
from workitems.approvers.active_members import ActiveMembers, active_members_of
from workitems.approvers.step_votes import StepVotes
from workitems.executions.amend_input import Amendment, amend_input
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.items.sensitive import listed, record_reading
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.permits.propose import vote_with_permit
from workitems.steps.batch_voting import Chosen, cast_votes, locked_batch, step_refused
from workitems.steps.claims import claim_step, release_step
from workitems.steps.escalation import escalate_step
from workitems.steps.reassignment import named_principal, reassign_step
from workitems.steps.voting import Ballot, cast_vote

_KINDS: Final[tuple[LeafKind, ...]] = ("role", "group", "user")
_OF_CLAIMS: Final = (
    "step_closed",
    "step_claimed",
    "voter_excluded",
    "voter_not_eligible",
    "voter_not_independent",
    "invitation_not_accepted",
    "grant_too_late",
    "stage_not_open",
)
_OF_VOTES: Final = (
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
)


class DecisionStepViewSet(PayloadBody, TenantViewSet):
    id_prefix = ids.DECISION_STEP
    lookup_url_kwarg = "decision_step_id"
    tag = "Decisions"

    def get_queryset(self) -> QuerySet[DecisionStep]:
        return selectors.decision_steps(self.request.auth)

    @listing("listDecisionSteps", "List decision steps", STEP, scope=Scope.WORKITEMS_READ, filters=DecisionStepFilters)
    def list(self, request: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset())
        if request.query_params.get("mine") == "true":
            rows = selectors.steps_pending_for(request.auth, rows)
        active_members, now = active_members_of(request.auth.tenant_id), clock.now()
        return self.page(
            selectors.with_votes(rows),
            represent=lambda step: STEP.represent(
                listed(step, step.work_item.data_class), result=vote_result_of(step, active_members), now=now
            ),
            order=_order(request),
        )

    @operation(
        "readDecisionStep",
        "Read a decision step with its exact envelope",
        scope=Scope.WORKITEMS_READ,
        answers={200: STEP},
        can_wait=True,
    )
    def retrieve(self, request: Any, decision_step_id: str) -> Response:
        shown = shown_step(self.row_id, ctx=request.auth)
        waited = wait_for_change(
            request,
            Watched(Awaited.DECISION_STEP, self.row_id, request.auth.tenant_id, frozenset({shown["status"]})),
            is_final=shown["status"] != StepStatus.PENDING,
        )
        return Response(shown, headers=waited)

    @verb(
        "castVote",
        "Vote on a decision step",
        scope=Scope.DECISIONS_DECIDE,
        body=CAST_VOTE,
        answers={201: VOTE_ANSWER},
        headers=("Location",),
        reasons=(*_OF_VOTES, "permit_not_offered", "permit_too_wide", "permit_closed"),
    )
    def votes(self, request: Any, decision_step_id: str, body: dict[str, Any]) -> Response:
        item, step = self._locked()
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
        return Response(answer, status=201, headers=_location(step))

    @verb(
        "castBatchVotes",
        "Vote on several steps",
        detail=False,
        scope=Scope.DECISIONS_DECIDE,
        description=(
            "All steps need the same `batch_key` (same rule and action); each is sent with the hash of its envelope. "
            "If one step is refused, no vote is cast, and `decision_step_id` names that step. The size of "
            "a batch is limited by its riskiest step: 50 by default, 20 with a sensitive data "
            "class, 5 with a risk flag."
        ),
        body=CAST_BATCH_VOTES,
        answers={201: VOTES_CAST},
        headers=("Location",),
        reasons=("batch_mixed", "batch_too_large", *_OF_VOTES),
    )
    def batch_votes(self, request: Any, body: dict[str, Any]) -> Response:
        chosen = [Chosen(entry["decision_step_id"], entry["envelope_sha256"]) for entry in body["steps"]]
        steps = locked_batch(chosen, ctx=request.auth)
        ballot = Ballot(
            decision=body["decision"],
            envelope_sha256="",
            reason_code=body.get("reason_code", ""),
            comment=body.get("comment", ""),
        )
        ctx = collecting_receipts(request.auth)
        try:
            cast = cast_votes(steps, chosen, ballot, ctx=ctx)
        except ThreadaError as refusal:
            named = step_refused(refusal, steps)
            self.subject = next((subject_of(item) for item, step in steps if step.id == named), None)
            raise
        answer = VOTES_CAST.represent(cast, receipt_promise=receipt_promise(ctx))
        return Response(answer, status=201, headers=_location(cast[0].step))

    @verb(
        "claimDecisionStep",
        "Claim a decision step",
        scope=Scope.DECISIONS_DECIDE,
        answers={200: STEP},
        reasons=_OF_CLAIMS,
    )
    def claim(self, request: Any, decision_step_id: str) -> Response:
        item, step = self._locked()
        claim_step(item, step, ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))

    @verb(
        "releaseDecisionStep",
        "Release a claim",
        scope=Scope.DECISIONS_DECIDE,
        answers={200: STEP},
        reasons=_OF_CLAIMS,
    )
    def release(self, request: Any, decision_step_id: str) -> Response:
        item, step = self._locked()
        release_step(item, step, ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))

    @verb(
        "changeDecisionStep",
        "Change the input or payload of a step",
        scope=Scope.DECISIONS_DECIDE,
        description=(
            "For a person whose vote would count. The step and its votes are superseded. The policies evaluate "
            "the changed input or payload, and a new step opens for the new envelope and at least the same "
            "approvers. If the policies deny the change, or if nobody could decide about it, nothing changes. A "
            "rule that excludes the last editor excludes the caller from the new step; everybody else who may decide "
            "votes on it."
        ),
        body=AMEND_STEP,
        answers={201: STEP_AMENDED},
        headers=("Location",),
        reasons=(
            "step_closed",
            "voter_excluded",
            "voter_not_independent",
            "invitation_not_accepted",
            "grant_too_late",
            "voter_not_eligible",
            "envelope_changed",
            "step_up_required",
            "vote_authentication_required",
            "policy_denied",
            "nobody_can_decide",
            "payload_schema_violation",
            "expression_failed",
            "unknown_action",
            "unknown_integration",
            "action_not_allowed",
        ),
    )
    def changes(self, request: Any, decision_step_id: str, body: dict[str, Any]) -> Response:
        item, step = self._locked()
        changed = amend_input(item, step, Amendment(**body), ctx=request.auth)
        new_step = shown_step(changed.step.id, ctx=request.auth)
        answer = STEP_AMENDED.represent(changed, decision_step=new_step, superseded_decision_step_id=step.id)
        return Response(answer, status=201, headers=_location(changed.step))

    @verb(
        "reassignDecisionStep",
        "Reassign a step",
        scope=Scope.DECISIONS_DECIDE,
        description="Sets the assignee. It grants no permission: all approvers of the rule may still decide. Only "
        "people reassign, and never to themselves or to people who depend on them.",
        body=REASSIGN_STEP,
        answers={200: STEP},
        reasons=(
            "step_closed",
            "assignee_not_eligible",
            "person_required",
            "vote_authentication_required",
            "voter_excluded",
            "voter_not_eligible",
            "voter_not_independent",
            "invitation_not_accepted",
            "grant_too_late",
        ),
    )
    def reassign(self, request: Any, decision_step_id: str, body: dict[str, Any]) -> Response:
        item, step = self._locked()
        to = named_principal(body["to"], ctx=request.auth)
        if to is None:
            raise errors.AssigneeNotEligible(
                "There is no such person in this tenant.",
                errors=[FieldError("/to", "is not a person of this tenant", "unknown")],
            )
        reassign_step(item, step, to, reason=body.get("reason", ""), ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))

    @verb(
        "escalateDecisionStep",
        "Escalate a step",
        scope=Scope.DECISIONS_DECIDE,
        description="The added approvers may take any open position. Nobody loses the right to decide. With `to`, the "
        "escalation takes effect when an independent person publishes it as a change set.",
        body=ESCALATE_STEP,
        answers={200: STEP},
        may_need_confirmation=True,
        reasons=(
            "step_closed",
            "nobody_to_escalate_to",
            "already_escalated",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
        ),
    )
    def escalate(self, request: Any, decision_step_id: str, body: dict[str, Any]) -> Response:
        item, step = self._locked()
        named = body.get("to", {})
        to = next((Leaf(kind, named[kind]) for kind in _KINDS if kind in named), None)
        escalate_step(item, step, to=to, reason=body.get("reason", ""), ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))

    def _locked(self) -> tuple[WorkItem, DecisionStep]:
        """Lock the step of the path and its work item, the subject of a refusal. Raise `NotFound`."""
        item, step = locked_step(self.row_id, ctx=self.request.auth)
        self.subject = subject_of(item)
        return item, step


def _order(request: Any) -> Order:
    """Return the order of the list. That by urgency is for pending steps: others have no deadline."""
    order = order_of(DecisionStepFilters, request)
    query = request.query_params
    if not order.is_by_id and query.get("mine") != "true" and query.getlist("status") != [StepStatus.PENDING.value]:
        problem = FieldError("?sort", "by urgent_at needs status=pending or mine=true", "invalid")
        raise errors.InvalidRequest("The query parameters are invalid.", errors=[problem])
    return order


def _location(step: DecisionStep) -> dict[str, str]:
    return {"Location": f"/decision-steps/{step.public_id}"}


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
