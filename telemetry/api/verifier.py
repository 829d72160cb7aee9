"""`/telemetry/verifier`: the verifier."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse

from telemetry.api.resources.exports import VERIFIER
from telemetry.exports.verifier_file import VERIFIER_FILE, VERIFIER_TYPE, verifier_source
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope


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
