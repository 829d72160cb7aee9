"""`/credentials`: tokens of services and agents. Those of people are their own, and only the console issues them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.filters import CreatedWindow, SlugFilter
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    BOOLEAN,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_TEXT,
    SLUG,
    TEXT,
    TEXTS,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Resource, field, given
from threada_site.api.shapes import SLUG as SLUG_SCHEMA
from threada_site.api.shapes import shape
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.identity.credentials import LONGEST_LIFE, issue_credential, revoke_credential
from threada_site.identity.selectors import credentials_of_tenant, principal_of_tenant
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Credential, User

CREDENTIAL: Final = Resource(
    "Credential",
    field("credential_id", public_id(ids.CREDENTIAL), "id"),
    field("principal", SLUG, "user.username", description="Name of the service or agent."),
    field("hint", TEXT, description="First characters of the token."),
    field("label", MAYBE_TEXT, description="Purpose of the token."),
    field("scopes", TEXTS, description="Scopes of the token; it has those that its principal's roles have as well."),
    field("issued_by", maybe_public_id(ids.PRINCIPAL), description="null: the operator of the instance."),
    field(
        "awaits_confirmation", BOOLEAN, description="True until an independent steward has published its change set."
    ),
    field("created_at", INSTANT),
    field("expires_at", MAYBE_INSTANT),
    field("last_used_at", MAYBE_INSTANT, description="Time of the last use, or null."),
    field("revoked_at", MAYBE_INSTANT, description="Time at which it was revoked, or null."),
)
ISSUED_CREDENTIAL: Final = Resource(
    "IssuedCredential",
    *CREDENTIAL.fields,
    given("token", MAYBE_TEXT, description="The token. It cannot be read again; null if the request is repeated."),
)
ISSUE_CREDENTIAL: Final = shape(
    {
        "principal": {**SLUG_SCHEMA, "description": "Name of a service or an agent."},
        "scopes": {
            "type": "array",
            "items": {"enum": [scope.value for scope in Scope]},
            "minItems": 1,
            "uniqueItems": True,
            "description": "Scopes out of those of the principal's roles.",
        },
        "label": {"type": "string", "maxLength": 200, "description": "Purpose of the token."},
        "expires_in_days": {
            "type": "integer",
            "minimum": 1,
            "maximum": LONGEST_LIFE.days,
            "description": "Lifetime in days.",
        },
    },
    required=("principal", "scopes", "expires_in_days"),
    example={
        "principal": "invoice-agent",
        "scopes": ["workitems:write"],
        "label": "Nightly run",
        "expires_in_days": 90,
    },
)


class CredentialFilters(CreatedWindow):
    """Filters of credentials: the principal, and whether they were revoked."""

    principal = SlugFilter(field_name="user__username")
    revoked = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="by_revocation")

    def by_revocation(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(revoked_at__isnull=value == "false")


class CredentialViewSet(TenantViewSet):
    id_prefix = ids.CREDENTIAL
    lookup_url_kwarg = "credential_id"
    resource = CREDENTIAL
    tag = "Credentials"

    def get_queryset(self) -> QuerySet[Credential]:
        require_steward(self.request.auth)
        return credentials_of_tenant(self.request.auth.tenant_id).exclude(user__kind=PrincipalKind.HUMAN)

    @listing(
        "listCredentials",
        "List the credentials of services and agents",
        CREDENTIAL,
        scope=Scope.WORKFLOW_MANAGE,
        filters=CredentialFilters,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "issueCredential",
        "Issue a credential to a service or an agent",
        scope=Scope.WORKFLOW_MANAGE,
        body=ISSUE_CREDENTIAL,
        answers={201: ISSUED_CREDENTIAL},
        headers=("Location",),
        reasons=("permission_denied", "scope_not_grantable", "person_required", "step_up_required"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Return the token, once. Only a `tenant_admin` may do this, and no agent.

        A service issues none to itself, and none that is valid for longer than the token that it uses. A token that a
        service issues is not valid before a steward publishes its change set.

        People issue their own tokens, in their own console session, and there, after a step-up, those with
        `identity:provision`: services are refused as `person_required`, people as `step_up_required`. Under
        `identity_four_eyes` such a token is not valid before an independent steward publishes its change set.
        """
        require_steward(request.auth)
        issued = issue_credential(
            principal=_holder(body["principal"], request.auth),
            scopes=body["scopes"],
            label=body.get("label", ""),
            expires_in=timedelta(days=body["expires_in_days"]),
            ctx=request.auth,
        )
        headers = {"Location": f"/credentials/{issued.credential.public_id}"}
        if self.key_reservation is not None:  # the answer that is stored under the key has no token
            stored = ISSUED_CREDENTIAL.represent(issued.credential, token=None)
            self.key_reservation.remember(Response(stored, status=201, headers=headers))
            self.key_reservation = None
        return Response(ISSUED_CREDENTIAL.represent(issued.credential, token=issued.token), status=201, headers=headers)

    @operation(
        "readCredential",
        "Read a credential of a service or an agent",
        scope=Scope.WORKFLOW_MANAGE,
        answers={200: CREDENTIAL},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, credential_id: str) -> Response:
        return self.shown(self.get_object())

    @verb(
        "revokeCredential",
        "Revoke a credential of a service or an agent",
        scope=Scope.WORKFLOW_MANAGE,
        answers={200: CREDENTIAL},
        reasons=("permission_denied",),
    )
    def revoke(self, request: Any, credential_id: str) -> Response:
        """Refuse requests with it from now on."""
        revoke_credential(self.get_object(), ctx=request.auth)
        return self.shown(self.get_object())


def _holder(name: str, ctx: ActingContext) -> User:
    """Return the service or agent with this name. Raise `InvalidRequest` for people and unknown names."""
    principal = principal_of_tenant(ctx.tenant_id, name)
    if principal is None or principal.kind == PrincipalKind.HUMAN:
        raise errors.InvalidRequest(
            "Name a service or an agent of this tenant. People issue their own tokens in the console.",
            errors=[FieldError("/principal", "is no service or agent of this tenant", "invalid")],
        )
    return principal
