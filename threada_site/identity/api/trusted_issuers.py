"""`/trusted-issuers`: issuers whose tokens authenticate services and agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from threada_site.api.document_viewsets import document_viewset
from threada_site.api.resources.field_types import ANY, INSTANT, INTEGER, MAYBE_INSTANT, SLUG, TEXT, public_id
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import shape
from threada_site.identity.api.documents import WRITE_REASONS, WRITTEN_IN_THE_CONSOLE, IdentityDocuments
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.identity.trusted_issuers.selectors import trusted_issuers
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer
from threada_site.tenancy.upsert import UpsertResult

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


def _put(slug: str, document: Mapping[str, Any], ctx: ActingContext) -> UpsertResult[TrustedIssuer]:
    return upsert_trusted_issuer(slug, parse_trusted_issuer(document), ctx=ctx)


_ENDPOINTS: Final = IdentityDocuments(
    kind_name="TrustedIssuer",
    name="trusted issuer",
    plural="trusted issuers",
    tag="Trusted issuers",
    resource=TRUSTED_ISSUER,
    whole=PUT_TRUSTED_ISSUER,
    rows=trusted_issuers,
    putting=_put,
    put_description="Add a version, unless nothing changes. It is effective for the next request; a job fetches the "
    f"keys.\n\n{WRITTEN_IN_THE_CONSOLE}",
    reasons=("permission_denied", *WRITE_REASONS, "document_invalid", "conflict"),
    withdrawing=withdraw_trusted_issuer,
    withdraw_description="Accept no more tokens of the issuer. Principals and receipts stay.\n\n"
    f"{WRITTEN_IN_THE_CONSOLE}",
)
TrustedIssuerViewSet: Final = document_viewset(_ENDPOINTS)
