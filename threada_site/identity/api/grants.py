"""`/grants`: scopes of principals on one workflow or integration."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet
from rest_framework.response import Response

from threada_site.api.conditional_requests.tags import check_if_match, etag, short_digest
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    INSTANT,
    MAYBE_INSTANT,
    SLUG,
    array,
    choice,
    maybe_public_id,
)
from threada_site.api.resources.resource import Resource, field, given
from threada_site.api.shapes import shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, listing
from threada_site.identity.grants.object_grants import (
    OBJECT_KINDS,
    lock_object_scopes,
    object_grants,
    object_named,
    object_scopes,
    object_slugs,
    set_object_scopes,
    split_name,
)
from threada_site.identity.selectors import principal_of_tenant
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import GrantRecord
from threada_site.tenancy.models import Membership, TenantRow, User

_SCOPE: Final = choice(tuple(scope.value for scope in Scope))
GRANT: Final = Resource(
    "Grant",
    field(
        "principal_id",
        maybe_public_id(ids.PRINCIPAL),
        lambda row: row.user_id if row.has_accepted else None,
        description="null until the person has accepted the invitation.",
    ),
    field("principal", SLUG, "user.username", description="Name of the principal."),
    given("kind", choice(OBJECT_KINDS)),
    given("object_id", SLUG, description="Id of the workflow or integration."),
    field("scope", _SCOPE, lambda row: split_name(row.name)[0]),
    field("effective_at", INSTANT, description="Time from which the grant counts on steps that open later."),
    field("granted_by", maybe_public_id(ids.PRINCIPAL), description="null: the operator of the instance."),
    field("confirmed_by", maybe_public_id(ids.PRINCIPAL), description="Independent steward who confirmed it."),
    field("confirmed_at", MAYBE_INSTANT, description="With confirmed_by null: the operator made the grant."),
)
OBJECT_SCOPES: Final = Resource(
    "ObjectScopes",
    given("principal", SLUG),
    given("kind", choice(OBJECT_KINDS)),
    given("object_id", SLUG),
    field("scopes", array(_SCOPE), lambda scopes: sorted(scope.value for scope in scopes)),
)
SET_OBJECT_SCOPES: Final = shape(
    {
        "scopes": {
            "type": "array",
            "items": {"enum": [scope.value for scope in Scope]},
            "description": "All scopes that the principal is to hold on the object by grants on it.",
        }
    },
    required=("scopes",),
    example={"scopes": ["decisions:decide"]},
)


class GrantViewSet(TenantViewSet):
    tag = "Grants"

    def get_queryset(self) -> QuerySet[GrantRecord]:
        require_steward(self.request.auth)
        return _with_acceptance(self.request.auth.tenant_id)

    @listing(
        "listGrants",
        "List scopes on single workflows and integrations",
        GRANT,
        scope=Scope.WORKFLOW_MANAGE,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset())
        slugs = object_slugs(request.auth.tenant_id)
        return self.page(rows, represent=lambda row: _represented(row, slugs))


def _object_grants(kind: str) -> type[TenantViewSet]:
    """Return the viewset of the scopes of one principal on one object of this kind."""
    named = kind.title()

    class ObjectGrantsViewSet(TenantViewSet):
        lookup_url_kwarg = "principal"
        tag = "Grants"

        @operation(
            f"read{named}Grants",
            f"Read the scopes of a principal on one {kind}",
            scope=Scope.WORKFLOW_MANAGE,
            answers={200: OBJECT_SCOPES},
            reasons=("permission_denied",),
        )
        def retrieve(self, request: Any, principal: str, **path: str) -> Response:
            return _answer(request, kind, path[f"{kind}_id"], principal)

        @operation(
            f"set{named}Grants",
            f"Set the scopes of a principal on one {kind}",
            scope=Scope.WORKFLOW_MANAGE,
            body=SET_OBJECT_SCOPES,
            answers={200: OBJECT_SCOPES},
            needs_if_match=True,
            headers=("ETag",),
            reasons=("permission_denied",),
            may_need_confirmation=True,
        )
        def update(self, request: Any, principal: str, **path: str) -> Response:
            """Give the principal exactly these scopes on the object. Its scopes from roles are not changed."""
            wanted = frozenset(map(Scope, SET_OBJECT_SCOPES.check(request.data)["scopes"]))
            require_steward(request.auth)
            user, target = _found(request, kind, path[f"{kind}_id"], principal)
            lock_object_scopes(user, ctx=request.auth)
            check_if_match(request, _tag(object_scopes(user, target)))
            set_object_scopes(user, target, wanted, ctx=request.auth)
            return _answer(request, kind, path[f"{kind}_id"], principal)

        @operation(
            f"withdraw{named}Grants",
            f"Withdraw the scopes of a principal on one {kind}",
            scope=Scope.WORKFLOW_MANAGE,
            answers={204: None},
            takes_if_match=True,
            reasons=("permission_denied",),
            may_need_confirmation=True,
        )
        def destroy(self, request: Any, principal: str, **path: str) -> Response:
            require_steward(request.auth)
            user, target = _found(request, kind, path[f"{kind}_id"], principal)
            lock_object_scopes(user, ctx=request.auth)
            check_if_match(request, _tag(object_scopes(user, target)), required=False)
            set_object_scopes(user, target, (), ctx=request.auth)
            return Response(status=204)

    return type(f"{named}GrantsViewSet", (ObjectGrantsViewSet,), {})


WorkflowGrantsViewSet: Final = _object_grants("workflow")
IntegrationGrantsViewSet: Final = _object_grants("integration")


def _found(request: Any, kind: str, object_id: str, principal: str) -> tuple[User, TenantRow]:
    user = principal_of_tenant(request.auth.tenant_id, path_slug(principal))
    if user is None:
        raise errors.NotFound
    return user, object_named(kind, path_slug(object_id), ctx=request.auth)


def _answer(request: Any, kind: str, object_id: str, principal: str) -> Response:
    require_steward(request.auth)
    user, target = _found(request, kind, object_id, principal)
    named = {"principal": principal, "kind": kind, "object_id": object_id}
    scopes = object_scopes(user, target)
    return Response(OBJECT_SCOPES.represent(scopes, **named), headers={"ETag": _tag(scopes)})


def _tag(scopes: Iterable[Scope]) -> str:
    return etag("scopes", short_digest(" ".join(sorted(scopes))))


def _with_acceptance(tenant_id: uuid.UUID) -> QuerySet[GrantRecord]:
    accepted = Membership.objects.filter(
        tenant_id=OuterRef("tenant_id"), user_id=OuterRef("user_id"), accepted_at__isnull=False
    )
    return object_grants(tenant_id).annotate(has_accepted=Exists(accepted))


def _represented(row: GrantRecord, slugs: Mapping[Any, tuple[str, str]]) -> dict[str, Any]:
    kind, slug = slugs[split_name(row.name)[1]]
    return GRANT.represent(row, kind=kind, object_id=slug)
