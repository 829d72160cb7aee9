"""Metadata of this API for OAuth clients: the protected resource (RFC 9728) and its token endpoint (RFC 8414)."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.resources.field_types import TEXT, array
from threada_site.api.resources.resource import Resource, field
from threada_site.api.system import PublicView
from threada_site.identity.api.token_requests import GRANT
from threada_site.kernel.context import Scope

TOKEN_PATH: Final = "/token"  # noqa: S105
_SCOPES: Final = sorted(scope.value for scope in Scope)
_CACHED: Final = {"Cache-Control": "public, max-age=3600"}
PROTECTED_RESOURCE: Final = Resource(
    "ProtectedResource",
    field("resource", TEXT, lambda base: base, description="Public URL of the instance."),
    field("authorization_servers", array(TEXT), lambda base: [base]),
    field("bearer_methods_supported", array(TEXT), lambda _: ["header"]),
    field("scopes_supported", array(TEXT), lambda _: _SCOPES),
    field("resource_name", TEXT, lambda _: "Threada"),
    field("resource_documentation", TEXT, lambda base: f"{base}/docs"),
    example={
        "resource": "https://threada.example",
        "authorization_servers": ["https://threada.example"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["workitems:read"],
        "resource_name": "Threada",
        "resource_documentation": "https://threada.example/docs",
    },
)
AUTHORIZATION_SERVER: Final = Resource(
    "AuthorizationServer",
    field("issuer", TEXT, lambda base: base, description="Public URL of the instance."),
    field("token_endpoint", TEXT, lambda base: base + TOKEN_PATH),
    field("token_endpoint_auth_methods_supported", array(TEXT), lambda _: ["none"]),
    field("grant_types_supported", array(TEXT), lambda _: [GRANT]),
    field("response_types_supported", array(TEXT), lambda _: []),
    field("scopes_supported", array(TEXT), lambda _: _SCOPES),
    field("service_documentation", TEXT, lambda base: f"{base}/docs"),
    example={
        "issuer": "https://threada.example",
        "token_endpoint": "https://threada.example/token",
        "token_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "scopes_supported": ["workitems:read"],
        "service_documentation": "https://threada.example/docs",
    },
)


class ProtectedResource(PublicView):
    @operation(
        "getProtectedResource",
        "Read the metadata of this API for OAuth clients",
        tag="System",
        answers={200: PROTECTED_RESOURCE},
    )
    def get(self, request: Any) -> Response:
        """Answer as RFC 9728 says. Trusted issuers are not listed: they belong to the tenants."""
        return Response(PROTECTED_RESOURCE.represent(_base(request)), headers=_CACHED)


class AuthorizationServer(PublicView):
    @operation(
        "getAuthorizationServer",
        "Read the metadata of the token endpoint",
        tag="System",
        answers={200: AUTHORIZATION_SERVER},
    )
    def get(self, request: Any) -> Response:
        """Answer as RFC 8414 says. The token endpoint exchanges tokens and offers no other grant."""
        return Response(AUTHORIZATION_SERVER.represent(_base(request)), headers=_CACHED)


def _base(request: Any) -> str:
    return settings.THREADA_PUBLIC_URL.rstrip("/") or f"{request.scheme}://{request.get_host()}"
