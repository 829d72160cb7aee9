"""`POST /decision-steps/batch-votes`: one vote on several steps, all or none."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import ThreadaError
from workitems.api.resources.steps import VOTES_CAST
from workitems.api.shapes import CAST_BATCH_VOTES
from workitems.items.receipts import subject_of
from workitems.steps.batch_voting import Chosen, cast_votes, locked_batch, step_refused
from workitems.steps.voting import Ballot


class BatchVotes(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "castBatchVotes",
        "Vote on several steps",
        tag="Decisions",
        description=(
            "All steps need the same `batch_key` (same rule and action); each is sent with the hash of its envelope. "
            "If one step is refused, no vote is cast, and `decision_step_id` names that step. The size of "
            "a batch is limited by its riskiest step: 50 by default, 20 with a sensitive data "
            "class, 5 with a risk flag."
        ),
        body=CAST_BATCH_VOTES,
        answers={201: VOTES_CAST},
        headers=("Location",),
        reasons=(
            "batch_mixed",
            "batch_too_large",
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
        ),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = CAST_BATCH_VOTES.check(request.data)
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
        location = {"Location": f"/decision-steps/{cast[0].step.public_id}"}
        return Response(answer, status=201, headers=location)
