"""Endpoints `/telemetry/exports/{id}/evidence` and `/telemetry/verifier`: an export with its proof, and the
verifier."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from telemetry.api.exports import export_named
from telemetry.api.resources.exports import EVIDENCE, VERIFIER
from telemetry.exports.evidence import open_evidence
from telemetry.exports.verifier_file import VERIFIER_FILE, VERIFIER_TYPE, verifier_source
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope


class ExportEvidence(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "downloadEvidence",
        "Download an NDJSON export with its proof",
        tag="Telemetry",
        answers={200: EVIDENCE},
        reasons=(
            "export_not_ready",
            "export_gone",
            "export_target_unavailable",
            "export_not_verifiable",
            "receipt_not_sealed",
        ),
    )
    def get(self, request: Any, export_id: str) -> HttpResponseBase:
        """Return the receipts with proofs under the newest checkpoint.

        `threada_verify.py` checks the archive without this system or its database.
        """
        download = open_evidence(export_named(request, export_id))
        if request.method == "HEAD":
            return HttpResponse(status=download.status, headers=download.headers)
        return StreamingHttpResponse(download.content, status=download.status, headers=download.headers)


class Verifier(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}
    content_negotiation_class = AnyNegotiation

    @operation("downloadVerifier", "Download threada_verify.py", tag="Telemetry", answers={200: VERIFIER})
    def get(self, request: Any) -> HttpResponse:
        """One file for Python 3.10 or newer, with the package `cryptography`.

        If you do not trust this system, get the file from the product's source instead: it is the same.
        """
        return HttpResponse(
            verifier_source(),
            content_type=VERIFIER_TYPE,
            headers={"Content-Disposition": f'attachment; filename="{VERIFIER_FILE}"'},
        )
