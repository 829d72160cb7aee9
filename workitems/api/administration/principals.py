"""`/principals`: people, services and agents of the tenant, with their roles and owners."""

from __future__ import annotations

from typing import Any, Final

import django_filters
from django.contrib.auth.models import Group
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from rest_framework.response import Response

from threada_site.api.filters import AnyOf, CreatedWindow, SlugFilter
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    INSTANT,
    MAYBE_SLUG,
    MAYBE_TEXT,
    SLUG,
    TEXTS,
    choice,
    maybe_public_id,
)
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import SLUG as SLUG_SCHEMA
from threada_site.api.shapes import shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.identity.admission import add_principal
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.invitations import invite_again
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.identity.selectors import groups_of_member
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Membership
from workitems.api.administration.access import require_reader

_STATES: Final = ("active", "invited", "inactive")
_ROLES: Final = {"type": "array", "items": SLUG_SCHEMA, "maxItems": 100, "uniqueItems": True}
_EMAIL: Final = {"type": "string", "maxLength": 254, "description": "Address to which the invitation is mailed."}


def _state(member: Membership) -> str:
    if member.accepted_at is None:
        return "invited"
    return "active" if member.user.is_active else "inactive"


PRINCIPAL: Final = Resource(
    "Principal",
    field(
        "principal_id",
        maybe_public_id(ids.PRINCIPAL),
        lambda member: None if _state(member) == "invited" else member.user_id,
        description="null until the person has accepted the invitation.",
    ),
    field(
        "invitation_id",
        maybe_public_id(ids.ACCOUNT_LINK),
        lambda member: member.invitation if _state(member) == "invited" else None,
        description="Invitation that the person has not accepted, or null. Receipts name it until then.",
    ),
    field("principal", SLUG, "user.username", description="Name of the principal."),
    field("kind", choice(PrincipalKind), "user.kind"),
    field(
        "display_name",
        MAYBE_TEXT,
        lambda member: "" if _state(member) == "invited" else member.user.display_name,
        description="null until the person has accepted the invitation.",
    ),
    field("state", choice(_STATES), _state, description="`invited`: the person has not accepted the invitation."),
    field(
        "roles",
        TEXTS,
        lambda member: sorted(group.role.slug for group in member.user.groups.all()),
        description="Roles in this tenant.",
    ),
    field("owner", MAYBE_SLUG, lambda member: member.owner and member.owner.username, description="Owner of an agent."),
    field("groups", TEXTS, groups_of_member, is_detail=True, description="Groups. Omitted in lists."),
    field("created_at", INSTANT, description="Time since which the principal is a member."),
)
ADD_PRINCIPAL: Final = shape(
    {
        "principal": {**SLUG_SCHEMA, "description": "Name of the principal."},
        "kind": {"enum": [kind.value for kind in PrincipalKind]},
        "display_name": {"type": "string", "maxLength": 200, "description": "Name as people read it."},
        "email": _EMAIL,
        "roles": {**_ROLES, "description": "Roles to give."},
        "owner": {**SLUG_SCHEMA, "description": "Person who answers for an agent or a service."},
    },
    required=("principal", "kind"),
    example={"principal": "invoice-agent", "kind": "agent", "roles": ["agent"], "owner": "ann"},
)
SET_ROLES: Final = shape(
    {"roles": {**_ROLES, "description": "All roles that the principal is to have."}},
    required=("roles",),
    example={"roles": ["approver"]},
)
SET_OWNER: Final = shape(
    {"owner": {**SLUG_SCHEMA, "type": ["string", "null"], "description": "Name of a person; null: nobody."}},
    required=("owner",),
    example={"owner": "ann"},
)
INVITE: Final = shape({"email": _EMAIL}, example={"email": "ann@example.org"})


class PrincipalFilters(CreatedWindow):
    """Filters of principals: kind, role, owner."""

    kind = AnyOf(
        django_filters.ChoiceFilter(
            field_name="user__kind", choices=[(kind.value, kind.value) for kind in PrincipalKind]
        )
    )
    role_id = SlugFilter(method="with_role")
    owner = SlugFilter(field_name="owner__username")

    def with_role(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        tenants = queryset.values("tenant_id")
        groups = Group.objects.filter(role__slug=value, role__tenant_id__in=tenants[:1])
        return queryset.filter(user__groups__in=groups)


class PrincipalViewSet(TenantViewSet):
    lookup_url_kwarg = "principal"
    tag = "Principals"

    def get_queryset(self) -> QuerySet[Membership]:
        tenant_id = self.request.auth.tenant_id
        groups = Group.objects.filter(role__tenant_id=tenant_id).select_related("role")
        invitations = AccountLink.objects.filter(
            tenant_id=OuterRef("tenant_id"),
            user_id=OuterRef("user_id"),
            created_at__gte=OuterRef("created_at"),
            purpose=LinkPurpose.INVITATION,
        )
        rows = Membership.objects.filter(tenant_id=tenant_id).select_related("user", "owner")
        rows = rows.annotate(invitation=Subquery(invitations.order_by("id").values("id")[:1]))
        return rows.prefetch_related(Prefetch("user__groups", queryset=groups))

    @listing(
        "listPrincipals",
        "List people, services and agents",
        PRINCIPAL,
        scope=Scope.WORKITEMS_READ,
        filters=PrincipalFilters,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        require_reader(request.auth)
        return self.page(represent=PRINCIPAL.represent)

    @creation(
        "addPrincipal",
        "Add a person, service or agent",
        scope=Scope.WORKFLOW_MANAGE,
        body=ADD_PRINCIPAL,
        answers={200: PRINCIPAL, 201: PRINCIPAL},
        headers=("Location",),
        may_need_confirmation=True,
        reasons=("permission_denied", "conflict"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Create the principal if its name is free, and make it a member with these roles.

        A member gets the roles in addition to its own, and the owner if one is given (200).

        A person gets an invitation and sets the own password; nobody else can. It is mailed to `email`; without a mail
        server the console shows its link once. Until the person accepts, answers and receipts name the invitation, so
        that nothing tells whether another tenant has the name. The account depends on the steward who added it until
        another one confirms it. Only a `tenant_admin` may do this.
        """
        require_steward(request.auth)
        result = add_principal(
            body["principal"],
            kind=PrincipalKind(body["kind"]),
            display_name=body.get("display_name", ""),
            email=body.get("email", ""),
            roles=body.get("roles", ()),
            owner=body.get("owner", ""),
            ctx=request.auth,
        )
        shown = PRINCIPAL.represent_whole(self._member(body["principal"]))
        location = {"Location": f"/principals/{body['principal']}"}
        return Response(shown, status=201 if result.is_new else 200, headers=location)

    @operation(
        "readPrincipal",
        "Read a person, service or agent",
        scope=Scope.WORKITEMS_READ,
        answers={200: PRINCIPAL},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, principal: str) -> Response:
        require_reader(request.auth)
        return self._whole()

    @operation(
        "removePrincipal",
        "Remove a person, service or agent from the tenant",
        scope=Scope.WORKFLOW_MANAGE,
        answers={204: None},
        may_need_confirmation=True,
        reasons=("permission_denied", "last_steward"),
    )
    def destroy(self, request: Any, principal: str) -> Response:
        """End the membership with its sessions, tokens, delegations and claims. Only a `tenant_admin` may do this."""
        require_steward(request.auth)
        remove_member(self.get_object().user, ctx=request.auth)
        return Response(status=204)

    @verb(
        "setRoles",
        "Set the roles of a person, service or agent",
        scope=Scope.WORKFLOW_MANAGE,
        body=SET_ROLES,
        answers={200: PRINCIPAL},
        may_need_confirmation=True,
        reasons=("permission_denied", "conflict", "last_steward"),
    )
    def roles(self, request: Any, principal: str, body: dict[str, Any]) -> Response:
        """Give the principal exactly these roles. Credentials gain and lose scopes at once."""
        require_steward(request.auth)
        set_roles(self.get_object().user, body["roles"], ctx=request.auth)
        return self._whole()

    @verb(
        "setOwner",
        "Set the owner of a service or agent",
        scope=Scope.WORKFLOW_MANAGE,
        body=SET_OWNER,
        answers={200: PRINCIPAL},
        may_need_confirmation=True,
        reasons=("permission_denied",),
    )
    def owner(self, request: Any, principal: str, body: dict[str, Any]) -> Response:
        """Name the person who answers for it. Rules exclude the owner from decisions on its requests."""
        require_steward(request.auth)
        set_owner(self.get_object().user, body["owner"] or "", ctx=request.auth)
        return self._whole()

    @verb(
        "inviteAgain",
        "Invite a person again",
        scope=Scope.WORKFLOW_MANAGE,
        body=INVITE,
        answers={200: PRINCIPAL},
        may_need_confirmation=True,
        reasons=("permission_denied", "conflict"),
    )
    def invite(self, request: Any, principal: str, body: dict[str, Any]) -> Response:
        """Replace an invitation that was not accepted. The link is mailed, or shown once by the console."""
        require_steward(request.auth)
        invite_again(self.get_object().user, body.get("email", ""), ctx=request.auth)
        return self._whole()

    def get_object(self) -> Membership:
        return self._member(self.kwargs["principal"])

    def _member(self, name: str) -> Membership:
        member = self.get_queryset().filter(user__username=path_slug(name)).first()
        if member is None:
            raise errors.NotFound
        return member

    def _whole(self) -> Response:
        return Response(PRINCIPAL.represent_whole(self.get_object()))
