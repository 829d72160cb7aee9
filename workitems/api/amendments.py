"""`POST /decision-steps/{id}/changes`: change the input or payload of a step and decide it again."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from workitems.api.payload_bodies import PayloadBody
from workitems.api.resources.steps import STEP_AMENDED
from workitems.api.shapes import AMEND_STEP
from workitems.api.steps import shown_step
from workitems.executions.amend_input import Amendment, amend_input
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of


class AmendDecisionStep(PayloadBody, TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "changeDecisionStep",
        "Change the input or payload of a step",
        tag="Decisions",
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
    @idempotent
    def post(self, request: Any, decision_step_id: str) -> Response:
        body = AMEND_STEP.check(request.data)
        item, step = locked_step(path_id(ids.DECISION_STEP, decision_step_id), ctx=request.auth)
        self.subject = subject_of(item)
        changed = amend_input(item, step, Amendment(**body), ctx=request.auth)
        new_step = shown_step(changed.step.id, ctx=request.auth)
        answer = STEP_AMENDED.represent(changed, decision_step=new_step, superseded_decision_step_id=step.id)
        location = {"Location": f"/decision-steps/{changed.step.public_id}"}
        return Response(answer, status=201, headers=location)
