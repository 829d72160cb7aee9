"""`POST /decision-steps/{id}/changes`: approve with changes. What is asked about is changed, and asked again."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from workitems.api.answers import STEP_AMENDED
from workitems.api.shapes import AMEND_STEP
from workitems.api.steps import shown_step
from workitems.executions.amend_input import Amendment, amend_input
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of


class AmendDecisionStep(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "changeDecisionStep",
        "Change what a step asks about: a new envelope, decided again",
        tag="Decisions",
        description=(
            "For a person whose vote would count. The step is superseded with its votes, the policies decide about "
            "the changed input or payload, and a new step asks about the new envelope, of at least the people asked "
            "before. Read it and vote on it to approve it. What the policies refuse changes nothing."
        ),
        body=AMEND_STEP,
        answers={201: STEP_AMENDED},
        reasons=(
            "step_closed",
            "voter_excluded",
            "voter_not_eligible",
            "envelope_changed",
            "step_up_required",
            "policy_denied",
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
        answer = {
            "decision_step": shown_step(changed.step.id, ctx=request.auth),
            "superseded_decision_step_id": step.public_id,
            "difference": changed.difference.as_json(),
        }
        return Response(answer, status=201)
