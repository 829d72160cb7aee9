"""Authentication by a token of a trusted issuer, in two SQL statements of the request's transaction.

The first finds the trusted issuer by issuer and audience, which determine the tenant; the second enters the tenant as
the mapped principal. In between, signature and claims are verified.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from django.db import connection

from threada_site.database.unit_of_work import mark_entered, unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.trusted_issuers.claims import Mapped
from threada_site.identity.trusted_issuers.verification import (
    FoundIssuer,
    VerifiedToken,
    count_refusal,
    verify_token,
)
from threada_site.kernel import errors
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    Workload,
    system_context,
)
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.effective_permissions import effective_permissions
from threada_site.tenancy.models import User

_ENTER: Final = "SELECT * FROM threada_enter_workload($1, $2, $3::text[])"
_REFUSALS: Final[dict[str, type[ThreadaError]]] = {
    "inactive": errors.PrincipalInactive,
    "frozen": errors.PrincipalFrozen,
}
_CREATE_ONCE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('workload ' || %s, 0))"


def authenticate_workload(
    text: str, *, tenant: str | None, role: str | None, correlation_id: str
) -> tuple[ActingContext, ThreadaError | None]:
    """Enter the tenant of a verified token. Return its context, and the refusal if the principal may not act.

    `tenant` and `role` are those that the request asks for. Raise the refusals of tokens (`Workload…`).
    """
    verified = verify_token(text)
    context, refusal = enter_tenant(verified, role=role, correlation_id=correlation_id)
    return context, refusal or _refusal(context, tenant=tenant, role=role)


def enter_tenant(
    verified: VerifiedToken, *, role: str | None = None, correlation_id: str
) -> tuple[ActingContext, ThreadaError | None]:
    """Enter the tenant of a verified token as its principal. Return the context, and the refusal of a principal that is
    inactive or frozen.

    Raise `WorkloadIsPerson`, or `WorkloadNotMapped` if there is no such principal.
    """
    token, found, mapped, expires_at = verified
    try:
        status, user_id, kind, grants = _enter(found, mapped, _asked_roles(mapped, role), correlation_id=correlation_id)
        if status == "person":
            raise errors.WorkloadIsPerson
    except ThreadaError as refusal:
        count_refusal(found, refusal)
        raise
    permissions = effective_permissions(_loaded(grants) or [], tenant_id=found.tenant_id, asked=mapped.scopes)
    context = ActingContext(
        tenant_id=found.tenant_id,
        tenant_slug=found.tenant_slug,
        principal_id=user_id,
        principal_kind=PrincipalKind(kind),
        principal_name=mapped.principal,
        roles=permissions.roles,
        groups=permissions.groups,
        scopes=permissions.scopes,
        grants=permissions.grants,
        visibility=permissions.visibility,
        authentication=Authentication(
            method=AuthenticationMethod.WORKLOAD,
            issued_by=found.created_by,
            workload=Workload(
                trusted_issuer=found.slug,
                issuer=token.issuer,
                subject=token.subject,
                token_id=token.token_id,
                expires_at=expires_at,
            ),
        ),
        entry_point=EntryPoint.API,
        correlation_id=correlation_id,
    )
    mark_entered(found.tenant_id, context.row_visibility)
    refused = _REFUSALS.get(status)
    return context, refused() if refused else None


def _refusal(ctx: ActingContext, *, tenant: str | None, role: str | None) -> ThreadaError | None:
    if tenant is not None and tenant != ctx.tenant_slug:
        return errors.TenantMismatch()
    if role is not None and role not in ctx.roles:
        return errors.RoleNotHeld(f"The role {role[:63]!r} is not held in this tenant.")
    return None


def _asked_roles(mapped: Mapped, role: str | None) -> list[str] | None:
    """Return the roles that the request acts with: those of the mapping, narrowed by `Threada-Role`. None: all."""
    if role is None:
        return None if mapped.roles is None else list(mapped.roles)
    return [role] if mapped.roles is None or role in mapped.roles else []


def _enter(found: FoundIssuer, mapped: Mapped, roles: list[str] | None, *, correlation_id: str) -> Any:
    """Enter the tenant as the principal, which is created if the mapping says so. Raise `WorkloadNotMapped`."""
    row = _entered(found, mapped, roles)
    if row is None and mapped.create is not None:
        _create(found, mapped, correlation_id=correlation_id)
        row = _entered(found, mapped, roles)
    if row is None:
        raise errors.WorkloadNotMapped(f"There is no account {mapped.principal} in the tenant {found.tenant_slug}.")
    return row


def _entered(found: FoundIssuer, mapped: Mapped, roles: list[str] | None) -> Any:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_ENTER, [found.tenant_id, mapped.principal, roles])
        return cursor.fetchone()


def _create(found: FoundIssuer, mapped: Mapped, *, correlation_id: str) -> None:
    """Create the principal with its owner and roles, as the confirmed document says. Receipts as of `add_principal`.

    A principal that was removed from the tenant is not added again: a person does that.
    """
    assert mapped.create is not None  # noqa: S101 - checked by the caller
    ctx = system_context(
        tenant_id=found.tenant_id,
        tenant_slug=found.tenant_slug,
        correlation_id=correlation_id,
        entry_point=EntryPoint.API,
    )
    with unit_of_work(found.tenant_id):
        with connection.cursor() as cursor:
            cursor.execute(_CREATE_ONCE, [f"{found.tenant_id} {mapped.principal}"])
        if User.objects.filter(username=mapped.principal, home_tenant_id=found.tenant_id).exists():
            return
        try:
            add_principal(
                mapped.principal,
                kind=PrincipalKind(mapped.create["kind"]),
                roles=mapped.roles or (),
                owner=mapped.create["owner"],
                ctx=ctx,
            )
        except errors.InvalidRequest as refusal:  # the owner has left, or a role was removed
            raise errors.WorkloadNotMapped(f"{mapped.principal} cannot be created: {refusal.detail}") from None


def _loaded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
