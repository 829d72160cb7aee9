"""The SCIM server of a tenant as one view: credential, limits, unit of work and receipts are those of the API."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework.response import Response
from scim2_models import SCIMException
from scim2_server.handler import ScimHandler
from scim2_server.requests import ScimRequest

from threada_site.api.bodies import body_limit
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.views import TenantView
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.scim.authority import client_of
from threada_site.scim.bodies import check_body
from threada_site.scim.refusals import error_body, refusal_of
from threada_site.scim.schemas import SERVICE
from threada_site.scim.storage import TenantStorage

CONTENT_TYPE: Final = "application/scim+json"
_HEADERS: Final = ("Content-Type", "If-Match", "If-None-Match")


class ScimView(TenantView):
    """Every address below `/scim/v2/{tenant}`."""

    schema = None
    content_negotiation_class = AnyNegotiation
    scopes: ClassVar = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Scope.IDENTITY_PROVISION)

    def get(self, request: Any, tenant: str, path: str) -> Response:
        return self._serve(request, tenant, path)

    post = put = patch = delete = get

    def _serve(self, request: Any, tenant: str, path: str) -> Response:
        ctx = request.auth
        if tenant != ctx.tenant_slug:
            raise errors.NotFound
        client = client_of(ctx)
        raw = _body(request)
        check_body(raw)
        asked = ScimRequest(
            method=request.method,
            base_url=_base_url(request, tenant),
            path=f"/{path}",
            query=request.query_params.dict(),
            headers={name: request.headers[name] for name in _HEADERS if request.headers.get(name)},
            body=raw,
        )
        try:
            answer = ScimHandler(SERVICE, TenantStorage(client)).handle(asked)
        except SCIMException as error:
            raise refusal_of(error) from None
        response = Response(answer.body, status=answer.status.value, content_type=CONTENT_TYPE)
        for name, value in answer.headers.items():
            if name != "Content-Type":
                response.headers[name] = value
        return response

    def _answer(self, refusal: ThreadaError) -> Response:
        status, body = error_body(refusal)
        response = Response(body, status=status, content_type=CONTENT_TYPE)
        for name, value in refusal.headers.items():
            response.headers[name] = value
        finalized: Response = self.finalize_response(self.request, response)
        return finalized


def _body(request: Any) -> bytes:
    """Return the body. Raise `PayloadTooLarge`."""
    limit = body_limit(request.META)
    raw: bytes = request.stream.read(limit + 1) if request.stream is not None else b""
    if len(raw) > limit:
        raise errors.PayloadTooLarge(f"The body has more than the {limit} bytes allowed.")
    return raw


def _base_url(request: Any, tenant: str) -> str:
    base = settings.THREADA_PUBLIC_URL.rstrip("/") or request.build_absolute_uri("/").rstrip("/")
    return f"{base}/scim/v2/{tenant}"


serve = ScimView.as_view()
