"""`/trusted-issuers`: issuers whose tokens authenticate services and agents."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.field_types import ANY, INSTANT, INTEGER, MAYBE_INSTANT, SLUG, TEXT, public_id
from threada_site.api.resources.resource import Resource, field, page_of
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView, path_slug
from threada_site.identity.stewardship import require_steward
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.identity.trusted_issuers.selectors import trusted_issuer_by_slug, trusted_issuers
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope

_EXAMPLE: Final = {
    "issuer": "https://token.actions.githubusercontent.com",
    "algorithms": ["RS256"],
    "mappings": [
        {
            "when": 'claims.repository == "acme/payments" && claims.ref == "refs/heads/main"',
            "principal": "deployer",
            "scopes": ["workitems:write"],
            "lifetime_minutes": 10,
        }
    ],
}
TRUSTED_ISSUER: Final = Resource(
    "TrustedIssuer",
    field("trusted_issuer_id", SLUG, "slug"),
    field("trusted_issuer_version_id", public_id(ids.TRUSTED_ISSUER_VERSION), "current_version.id"),
    field("number", INTEGER, "current_version.number"),
    field("audience", TEXT, description="Audience of tokens for this tenant."),
    field("spec", ANY, "current_version.spec"),
    field("keys_fetched_at", MAYBE_INSTANT, description="null: the keys are inline, or not fetched yet."),
    field("keys_problem", TEXT, description="Why the last fetch of the keys failed; empty if it did not."),
    field("created_at", INSTANT),
    example={
        "trusted_issuer_id": "github",
        "trusted_issuer_version_id": "tv_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "number": 1,
        "audience": "https://threada.example/acme",
        "spec": _EXAMPLE,
        "keys_fetched_at": "2026-01-31T12:00:00Z",
        "keys_problem": "",
        "created_at": "2026-01-31T12:00:00Z",
    },
)
PUT_TRUSTED_ISSUER: Final = shape(
    {
        "trusted_issuer_id": {"type": "string", "description": "Name of the trusted issuer in the tenant."},
        "spec": {"type": "object", "description": "Spec of a document of kind TrustedIssuer."},
    },
    required=("trusted_issuer_id", "spec"),
    example={"trusted_issuer_id": "github", "spec": _EXAMPLE},
)


class TrustedIssuers(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listTrustedIssuers",
        "List trusted issuers",
        tag="Trusted issuers",
        answers={200: page_of(TRUSTED_ISSUER)},
        filters=NoFilters,
        reasons=("permission_denied",),
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require_steward(request.auth)
        rows = apply_filters(NoFilters, trusted_issuers(request.auth.tenant_id), request)
        return Response(paginate(rows, request, represent=TRUSTED_ISSUER.represent))

    @operation(
        "putTrustedIssuer",
        "Create or change a trusted issuer",
        tag="Trusted issuers",
        body=PUT_TRUSTED_ISSUER,
        answers={200: TRUSTED_ISSUER, 201: TRUSTED_ISSUER},
        reasons=("permission_denied", "document_invalid", "conflict"),
        may_need_confirmation=True,
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Add a version, unless nothing changes. It is effective for the next request; a job fetches the keys."""
        body = PUT_TRUSTED_ISSUER.check(request.data)
        require_steward(request.auth)
        slug = body["trusted_issuer_id"]
        document = parse_trusted_issuer({"kind": "TrustedIssuer", "id": slug, "spec": body["spec"]})
        result = upsert_trusted_issuer(slug, document, ctx=request.auth)
        return Response(TRUSTED_ISSUER.represent(result.row), status=201 if result.is_new else 200)


class TrustedIssuerDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "DELETE": Scope.WORKFLOW_MANAGE}

    @operation(
        "readTrustedIssuer",
        "Read a trusted issuer",
        tag="Trusted issuers",
        answers={200: TRUSTED_ISSUER},
        reasons=("permission_denied",),
    )
    def get(self, request: Any, trusted_issuer_id: str) -> Response:
        require_steward(request.auth)
        return _shown(request, trusted_issuer_id)

    @operation(
        "withdrawTrustedIssuer",
        "Withdraw a trusted issuer",
        tag="Trusted issuers",
        answers={204: None},
        reasons=("permission_denied",),
        may_need_confirmation=True,
    )
    def delete(self, request: Any, trusted_issuer_id: str) -> Response:
        """Accept no more tokens of the issuer. Principals and receipts stay."""
        withdraw_trusted_issuer(path_slug(trusted_issuer_id), ctx=request.auth)
        return Response(status=204)


def _shown(request: Any, slug: str) -> Response:
    row = trusted_issuer_by_slug(path_slug(slug), tenant_id=request.auth.tenant_id)
    if row is None:
        raise errors.NotFound
    return Response(TRUSTED_ISSUER.represent(row))
