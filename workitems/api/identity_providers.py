"""`/identity-providers`: identity providers at which members of the tenant sign in."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.field_types import COUNT, INSTANT, INTEGER, MAYBE_OBJECT, TEXT, public_id
from threada_site.api.resources.field_types import SLUG as SLUG_FIELD
from threada_site.api.resources.resource import Resource, field, page_of
from threada_site.api.shapes import EMPTY, SLUG, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.identity.providers.configure import confirm_links, withdraw_provider
from threada_site.identity.providers.documents import parse_provider
from threada_site.identity.selectors import identity_provider, identity_providers
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import IdentityLink, IdentityProvider
from workitems.configuration.kinds.identity_providers import put_identity_provider

_REFUSALS: Final = ("document_invalid", "secret_reference_not_allowed", "secret_origin_refused", "permission_denied")


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


class IdentityProviders(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listIdentityProviders",
        "List identity providers",
        tag="Identity providers",
        answers={200: page_of(PROVIDER)},
        filters=NoFilters,
        is_paged=True,
        reasons=("permission_denied",),
    )
    def get(self, request: Any) -> Response:
        require_steward(request.auth)
        rows = apply_filters(NoFilters, identity_providers(request.auth.tenant_id), request)
        return Response(paginate(rows, request, represent=PROVIDER.represent))

    @operation(
        "putIdentityProvider",
        "Create or change an identity provider",
        tag="Identity providers",
        body=PUT_PROVIDER,
        answers={200: PROVIDER, 201: PROVIDER},
        may_need_confirmation=True,
        reasons=_REFUSALS,
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Create an identity provider, or add a version to an existing one.

        Another issuer, client or claim of the subject suspends the links of the provider.
        """
        body = PUT_PROVIDER.check(request.data)
        require_steward(request.auth)
        slug = body["identity_provider_id"]
        _, spec = parse_provider({"kind": "IdentityProvider", "id": slug, "spec": body["spec"]})
        result = put_identity_provider(slug, spec, ctx=request.auth)
        return Response(PROVIDER.represent(result.row), status=201 if result.is_new else 200)


class IdentityProviderDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "DELETE": Scope.WORKFLOW_MANAGE}

    @operation(
        "readIdentityProvider",
        "Read an identity provider",
        tag="Identity providers",
        answers={200: PROVIDER},
        reasons=("permission_denied",),
    )
    def get(self, request: Any, identity_provider_id: str) -> Response:
        require_steward(request.auth)
        return Response(PROVIDER.represent(_found(request, identity_provider_id)))

    @operation(
        "withdrawIdentityProvider",
        "Withdraw an identity provider",
        tag="Identity providers",
        answers={204: None},
        may_need_confirmation=True,
        reasons=("permission_denied",),
    )
    def delete(self, request: Any, identity_provider_id: str) -> Response:
        """Accept no sign-in by the provider, and end the sessions that it opened. Its links stay."""
        require_steward(request.auth)
        withdraw_provider(_found(request, identity_provider_id).slug, ctx=request.auth)
        return Response(status=204)


class ConfirmIdentityLinks(TenantView):
    scopes: ClassVar = {"POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "confirmIdentityLinks",
        "Confirm the links of an identity provider after a change",
        tag="Identity providers",
        body=EMPTY,
        answers={200: CONFIRMED},
        reasons=("permission_denied", "person_required", "second_person_required"),
    )
    @idempotent
    def post(self, request: Any, identity_provider_id: str) -> Response:
        """Confirm that the suspended links name the same people, as a steward who did not make the change."""
        EMPTY.check(request.data)
        require_steward(request.auth)
        confirmed = confirm_links(_found(request, identity_provider_id).slug, ctx=request.auth)
        return Response(CONFIRMED.represent(confirmed))


def _found(request: Any, slug: str) -> IdentityProvider:
    found = identity_provider(path_slug(slug), tenant_id=request.auth.tenant_id)
    if found is None:
        raise errors.NotFound
    return found
