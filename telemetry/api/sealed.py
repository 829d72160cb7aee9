"""`/receipts/{id}/proof` and `/checkpoints`: what it takes to check a receipt without trust in the operator."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.answers import CHECKPOINT, PROOF
from telemetry.api.representations import represent_checkpoint
from telemetry.tlog import proof_text
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.operations import operation, page_of
from threada_site.api.pagination import paginate
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


class ReceiptProof(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readReceiptProof",
        "Prove that a receipt is in the tenant's log",
        tag="Telemetry",
        answers={200: PROOF},
        reasons=("receipt_not_sealed",),
    )
    def get(self, request: Any, receipt_id: str) -> HttpResponse:
        """Under the newest checkpoint. Keep it with the receipt: it stays valid, whatever happens here."""
        receipt = selectors.receipts(request.auth).filter(id=path_id(ids.RECEIPT, receipt_id)).first()
        if receipt is None:
            raise errors.NotFound
        return HttpResponse(
            str(selectors.proof_of(receipt)),
            content_type=proof_text.MEDIA_TYPE,
            headers={"Content-Disposition": f'inline; filename="{receipt.public_id}{proof_text.SUFFIX}"'},
        )


class Checkpoints(TenantView):
    """The signed heads of the tenant's log, newest first."""

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
        return Response(paginate(rows, request, represent=represent_checkpoint))
