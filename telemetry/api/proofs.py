"""Endpoints `/receipts/{id}/proof` and `/checkpoints`: proofs that need no trust in the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.log import CHECKPOINT, INSTANCE_PROOF, PROOF
from telemetry.log.rows import LogIncomplete
from telemetry.receipts.filters import InstanceLogFilters
from telemetry.tlog import proof_text
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


@contextmanager
def of_a_whole_log() -> Iterator[None]:
    """Translate `LogIncomplete` inside the context into the API error `LogDoesNotHold`."""
    try:
        yield
    except LogIncomplete as missing:
        raise errors.LogDoesNotHold(f"The proof cannot be built: {missing}.") from missing


class ReceiptProof(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readReceiptProof",
        "Prove that a receipt is in the tenant's log",
        tag="Telemetry",
        answers={200: PROOF},
        reasons=("receipt_not_sealed", "log_does_not_hold"),
    )
    def get(self, request: Any, receipt_id: str) -> HttpResponse:
        """Return the proof of the receipt under the newest checkpoint.

        Save it with the receipt: it stays valid independently of this system.
        """
        receipt = selectors.receipts(request.auth).filter(id=path_id(ids.RECEIPT, receipt_id)).first()
        if receipt is None:
            raise errors.NotFound
        with of_a_whole_log():
            proof = selectors.proof_of(receipt)
        return HttpResponse(
            str(proof),
            content_type=proof_text.MEDIA_TYPE,
            headers={"Content-Disposition": f'inline; filename="{receipt.public_id}{proof_text.SUFFIX}"'},
        )


class Checkpoints(TenantView):
    """Signed checkpoints of the tenant's log, newest first."""

    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "listCheckpoints",
        "Signed tree heads of the tenant's log",
        tag="Telemetry",
        answers={200: page_of(CHECKPOINT)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(CreatedWindow, selectors.checkpoints(request.auth), request)
        return Response(paginate(rows, request, represent=CHECKPOINT.represent))


class InstanceLog(TenantView):
    """The log whose leaves are the checkpoints of all tenants, so that a dropped tenant is detected."""

    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readInstanceProof",
        "Prove that the tenant's newest checkpoint is in the instance's log",
        tag="Telemetry",
        answers={200: INSTANCE_PROOF},
        filters=InstanceLogFilters,
        reasons=("checkpoint_not_sealed", "log_does_not_hold"),
    )
    def get(self, request: Any) -> Response:
        """Save the checkpoint: it proves later that no tenant's log was dropped or rolled back.

        The proof consists of hashes and reveals nothing about other tenants.
        """
        if not settings.THREADA_INSTANCE_LOG:
            raise errors.CheckpointNotSealed(
                "This instance keeps no instance log. Its operator turns it on with THREADA_INSTANCE_LOG=true."
            )
        checkpoints = apply_filters(InstanceLogFilters, selectors.instance_checkpoints(), request)
        since = request.query_params.get("since")
        with of_a_whole_log():
            found = selectors.instance_proof(request.auth.tenant_id, among=checkpoints)
            if found is None:
                raise errors.CheckpointNotSealed(headers={"Retry-After": "1"})
            consistency = selectors.instance_consistency(int(since), found.checkpoint) if since else None
        return Response(INSTANCE_PROOF.represent(found, consistency=consistency))
