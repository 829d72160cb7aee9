"""`/identity-providers`: identity providers at which members of the tenant sign in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.response import Response

from threada_site.api.document_viewsets import document_viewset
from threada_site.api.resources.field_types import COUNT, INSTANT, INTEGER, MAYBE_OBJECT, TEXT, public_id
from threada_site.api.resources.field_types import SLUG as SLUG_FIELD
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import SLUG, shape
from threada_site.api.viewsets import verb
from threada_site.identity.api.documents import WRITE_REASONS, WRITTEN_IN_THE_CONSOLE, IdentityDocuments
from threada_site.identity.providers.configure import confirm_links as confirm_suspended_links
from threada_site.identity.providers.configure import withdraw_provider
from threada_site.identity.providers.documents import parse_provider
from threada_site.identity.selectors import identity_providers
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import IdentityLink, IdentityProvider
from threada_site.tenancy.upsert import UpsertResult
from workitems.configuration.kinds.identity_providers import put_identity_provider


def _suspended(provider: IdentityProvider) -> int:
    rows = IdentityLink.objects.filter(tenant_id=provider.tenant_id, provider=provider)
    return rows.exclude(suspended_at=None).count()


PROVIDER: Final = Resource(
    "IdentityProvider",
    field("identity_provider_id", SLUG_FIELD, "slug"),
    field("name", TEXT),
    field(
        "identity_provider_version_id",
        public_id(ids.IDENTITY_PROVIDER_VERSION),
        "current_version_id",
    ),
    field("version", INTEGER, "current_version.number"),
    field("spec", MAYBE_OBJECT, "current_version.spec", description="Secrets are references."),
    field("suspended_links", COUNT, _suspended, description="Links that wait for a second steward."),
    field("created_at", INSTANT),
)
CONFIRMED: Final = Resource("ConfirmedLinks", field("links", COUNT, lambda number: number))
PUT_PROVIDER: Final = shape(
    {
        "identity_provider_id": SLUG,
        "spec": {"type": "object", "description": "Spec of `kind: IdentityProvider`."},
    },
    required=("identity_provider_id", "spec"),
    example={
        "identity_provider_id": "corp",
        "spec": {
            "protocol": "oidc",
            "name": "Corp",
            "issuer": "https://id.example.com",
            "client_id": "threada",
            "roles": {"finance-team": ["approver"]},
        },
    },
)


def _put(slug: str, document: Mapping[str, Any], ctx: ActingContext) -> UpsertResult[IdentityProvider]:
    return put_identity_provider(slug, parse_provider(document)[1], ctx=ctx)


_ENDPOINTS: Final = IdentityDocuments(
    kind_name="IdentityProvider",
    name="identity provider",
    plural="identity providers",
    tag="Identity providers",
    resource=PROVIDER,
    whole=PUT_PROVIDER,
    rows=identity_providers,
    putting=_put,
    put_description="Create an identity provider, or add a version to an existing one.\n\n"
    "Another issuer, client or claim of the subject suspends the links of the provider.\n\n"
    f"{WRITTEN_IN_THE_CONSOLE}",
    reasons=(
        "document_invalid",
        "secret_reference_not_allowed",
        "secret_origin_refused",
        "permission_denied",
        *WRITE_REASONS,
    ),
    withdrawing=withdraw_provider,
    withdraw_description="Accept no sign-in by the provider, and end the sessions that it opened. Its links stay.\n\n"
    f"{WRITTEN_IN_THE_CONSOLE}",
)


@verb(
    "confirmIdentityLinks",
    "Confirm the links of an identity provider after a change",
    scope=Scope.WORKFLOW_MANAGE,
    answers={200: CONFIRMED},
    reasons=("permission_denied", "person_required", "vote_authentication_required", "second_person_required"),
)
def confirm_links(view: Any, request: Any, **_path: str) -> Response:
    """Confirm that the suspended links name the same people, as a steward who did not make the change."""
    _ENDPOINTS.check_read(request.auth)
    confirmed = confirm_suspended_links(view.get_object().slug, ctx=request.auth)
    return Response(CONFIRMED.represent(confirmed))


IdentityProviderViewSet: Final = document_viewset(_ENDPOINTS, confirm_links=confirm_links)
