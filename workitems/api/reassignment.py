"""`/decision-steps/{id}/reassign` and `/escalate`: change the assignee, add approvers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from policies.language.approvals import Leaf, LeafKind
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError
from workitems.api.resources.steps import STEP
from workitems.api.shapes import ESCALATE_STEP, REASSIGN_STEP
from workitems.api.steps import shown_step
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.steps.escalation import escalate_step
from workitems.steps.reassignment import named_principal, reassign_step

_KINDS: Final[tuple[LeafKind, ...]] = ("role", "group", "user")


class ReassignDecisionStep(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "reassignDecisionStep",
        "Reassign a step",
        tag="Decisions",
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
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        body = REASSIGN_STEP.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        to = named_principal(body["to"], ctx=request.auth)
        if to is None:
            raise errors.AssigneeNotEligible(
                "There is no such person in this tenant.",
                errors=[FieldError("/to", "is not a person of this tenant", "unknown")],
            )
        reassign_step(item, step, to, reason=body.get("reason", ""), ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))


class EscalateDecisionStep(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "escalateDecisionStep",
        "Escalate a step",
        tag="Decisions",
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
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        body = ESCALATE_STEP.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        named = body.get("to", {})
        to = next((Leaf(kind, named[kind]) for kind in _KINDS if kind in named), None)
        escalate_step(item, step, to=to, reason=body.get("reason", ""), ctx=request.auth)
        return Response(shown_step(step.id, ctx=request.auth))
