"""`/telemetry/events`, `/receipts` and `/checkpoints`: the log, and proofs that need no trust in the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.log import CHECKPOINT, EVENT, INSTANCE_PROOF, PROOF
from telemetry.exports.request import bounded_window
from telemetry.log.rows import LogIncomplete
from telemetry.models import Checkpoint, Receipt
from telemetry.receipts.filters import EventFilters, InstanceLogFilters
from telemetry.tlog import proof_text
from threada_site.api.filters import CreatedWindow, order_of, read_instant
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, listing
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope


@contextmanager
def of_a_whole_log() -> Iterator[None]:
    """Translate `LogIncomplete` inside the context into the API error `LogDoesNotHold`."""
    try:
        yield
    except LogIncomplete as missing:
        raise errors.LogDoesNotHold(f"The proof cannot be built: {missing}.") from missing


class EventViewSet(TenantViewSet):
    """Receipts as events, newest first, within a bounded window."""

    resource = EVENT
    tag = "Telemetry"

    def get_queryset(self) -> QuerySet[Receipt]:
        return selectors.receipts(self.request.auth)

    @listing(
        "listEvents",
        "Receipts as events, over a bounded window",
        EVENT,
        scope=Scope.TELEMETRY_READ,
        filters=EventFilters,
        reasons=("window_too_large",),
    )
    def list(self, request: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset())
        chosen = bounded_window(
            read_instant(request.query_params.get("created_after")),
            read_instant(request.query_params.get("created_before")),
            now=clock.now(),
        )
        rows = rows.filter(id__gte=chosen.first_id, id__lt=chosen.end_id)
        return self.page(rows, order=order_of(EventFilters, request))


class ReceiptViewSet(TenantViewSet):
    id_prefix = ids.RECEIPT
    lookup_url_kwarg = "receipt_id"
    resource = EVENT
    tag = "Telemetry"

    def get_queryset(self) -> QuerySet[Receipt]:
        return selectors.receipts(self.request.auth)

    @operation("readReceipt", "Read a receipt", scope=Scope.TELEMETRY_READ, answers={200: EVENT})
    def retrieve(self, request: Any, receipt_id: str) -> Response:
        return self.shown(self.get_object())

    @action(detail=True)
    @operation(
        "readReceiptProof",
        "Prove that a receipt is in the tenant's log",
        scope=Scope.TELEMETRY_READ,
        answers={200: PROOF},
        reasons=("receipt_not_sealed", "log_does_not_hold"),
    )
    def proof(self, request: Any, receipt_id: str) -> HttpResponse:
        """Return the proof of the receipt under the newest checkpoint.

        Save it with the receipt: it stays valid independently of this system.
        """
        receipt = self.get_object()
        with of_a_whole_log():
            proof = selectors.proof_of(receipt)
        return HttpResponse(
            str(proof),
            content_type=proof_text.MEDIA_TYPE,
            headers={"Content-Disposition": f'inline; filename="{receipt.public_id}{proof_text.SUFFIX}"'},
        )


class CheckpointViewSet(TenantViewSet):
    """Signed checkpoints of the tenant's log, newest first, and their place in the log of the instance.

    The leaves of the instance's log are the checkpoints of all tenants, so that a dropped tenant is detected.
    """

    resource = CHECKPOINT
    tag = "Telemetry"

    def get_queryset(self) -> QuerySet[Checkpoint]:
        return selectors.checkpoints(self.request.auth)

    @listing(
        "listCheckpoints",
        "Signed tree heads of the tenant's log",
        CHECKPOINT,
        scope=Scope.TELEMETRY_READ,
        filters=CreatedWindow,
    )
    def list(self, request: Any) -> Response:
        return self.page()

    @action(detail=False)
    @operation(
        "readInstanceProof",
        "Prove that the tenant's newest checkpoint is in the instance's log",
        scope=Scope.TELEMETRY_READ,
        answers={200: INSTANCE_PROOF},
        filters=InstanceLogFilters,
        reasons=("checkpoint_not_sealed", "log_does_not_hold"),
    )
    def instance(self, request: Any) -> Response:
        """Save the checkpoint: it proves later that no tenant's log was dropped or rolled back.

        The proof consists of hashes and reveals nothing about other tenants.
        """
        if not settings.THREADA_INSTANCE_LOG:
            raise errors.CheckpointNotSealed(
                "This instance keeps no instance log. Its operator turns it on with THREADA_INSTANCE_LOG=true."
            )
        checkpoints = self.filter_queryset(selectors.instance_checkpoints())
        since = request.query_params.get("since")
        with of_a_whole_log():
            found = selectors.instance_proof(request.auth.tenant_id, among=checkpoints)
            if found is None:
                raise errors.CheckpointNotSealed(headers={"Retry-After": "1"})
            consistency = selectors.instance_consistency(int(since), found.checkpoint) if since else None
        return Response(INSTANCE_PROOF.represent(found, consistency=consistency))
