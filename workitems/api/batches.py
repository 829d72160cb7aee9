"""`POST /decision-steps/batch-votes`: one decision about several steps, all or nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from telemetry.inclusion_promises.promise import inclusion_promise
from telemetry.inclusion_promises.statement import collect_recorded_receipts
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import ThreadaError
from workitems.api.answers import VOTES_CAST
from workitems.api.representations import represent_vote_cast
from workitems.api.shapes import CAST_BATCH_VOTES
from workitems.items.receipts import subject_of
from workitems.steps.batch_voting import Chosen, cast_votes, locked_batch, step_refused
from workitems.steps.voting import Ballot


class BatchVotes(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "castBatchVotes",
        "Approve or reject several steps at once",
        tag="Decisions",
        description=(
            "Only steps with the same rule and action (the same `batch_key`), each with the hash of its own envelope. "
            "All or nothing: the first step that is refused rejects the batch, and `decision_step_id` names it. How "
            "many one batch may decide depends on the risk of the riskiest: by default 50, with a sensitive data class "
            "20, with a risk flag 5."
        ),
        body=CAST_BATCH_VOTES,
        answers={201: VOTES_CAST},
        reasons=(
            "batch_mixed",
            "batch_too_large",
            "step_closed",
            "voter_excluded",
            "voter_not_eligible",
            "stage_not_open",
            "already_voted",
            "envelope_changed",
            "reason_code_required",
            "unknown_reason_code",
            "step_up_required",
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
        try:
            with collect_recorded_receipts() as recorded:
                cast = cast_votes(steps, chosen, ballot, ctx=request.auth)
        except ThreadaError as refusal:
            named = step_refused(refusal, steps)
            self.subject = next((subject_of(item) for item, step in steps if step.id == named), None)
            raise
        votes = [represent_vote_cast(entry.vote, step=entry.step, item=entry.item) for entry in cast]
        return Response({"votes": votes, "receipt_promise": inclusion_promise(recorded, ctx=request.auth)}, status=201)
