"""Issue, rotation and revocation of credentials. A token is shown once; only its digest is stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.selectors import permissions_of_principal, scopes_somewhere
from threada_site.identity.stewardship import is_steward, require_steward_or_self
from threada_site.kernel import clock, errors, ids, tokens
from threada_site.kernel.context import ActingContext, Scope, with_implied
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Credential, Membership, User

LONGEST_LIFE: Final = timedelta(days=3660)
_HINT_LENGTH: Final = 10


class IssuedCredential(NamedTuple):
    """New credential and its token, which cannot be read again."""

    credential: Credential
    token: str


def issue_credential(
    *,
    principal: User,
    scopes: Iterable[str],
    label: str = "",
    expires_in: timedelta | None = None,
    ctx: ActingContext,
) -> IssuedCredential:
    """Issue a bearer token for a member of the tenant, with some of the scopes of its roles.

    Receipt `credential.issued`. Raise `ScopeNotGrantable` with the scopes that the roles do not have,
    `InvalidRequest` for unknown scopes, no scopes, an inactive principal or non-member, or a lifetime outside of 0 to
    10 years.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward_or_self(ctx, principal.id)
    asked = read_scopes(scopes)
    now = clock.now()
    _check_member(principal, ctx=ctx)
    _check_grantable(asked, principal, ctx=ctx)
    return _issued(principal, asked, label=label, expires_at=_expiry(expires_in, now), ctx=ctx)


def rotate_credential(
    credential: Credential, *, overlap: timedelta = timedelta(0), ctx: ActingContext
) -> IssuedCredential:
    """Replace `credential` by a new one with equal scopes, label and lifetime.

    The old one ends now or after `overlap`. Receipts `credential.issued` and `credential.revoked` (or
    `credential.shortened`). Raise `Conflict` if the old one is revoked or expired.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward_or_self(ctx, credential.user_id)
    old = _locked(credential, ctx=ctx)
    now = clock.now()
    if not old.is_live:
        raise errors.Conflict("This credential is no longer valid. Create a new credential.")
    asked = read_scopes(old.scopes)
    _check_grantable(asked, old.user, ctx=ctx)
    expires_at = now + (old.expires_at - old.created_at) if old.expires_at else None
    new = _issued(old.user, asked, label=old.label, expires_at=expires_at, ctx=ctx, replaces=old)
    if overlap > timedelta(0):
        old.expires_at = min(now + overlap, old.expires_at or datetime.max.replace(tzinfo=now.tzinfo))
        old.save(update_fields=["expires_at"])
        ends = {"credential": old.public_id, "expires_at": clock.rfc3339(old.expires_at)}
        record(Entry(kind="credential.shortened", inputs=ends), ctx=ctx)
    else:
        _revoke(old, ctx=ctx)
    return new


def revoke_credential(credential: Credential, *, ctx: ActingContext) -> None:
    """Revoke a credential immediately. Receipt `credential.revoked`; nothing happens if it was revoked before."""
    require_unit_of_work(ctx.tenant_id)
    require_steward_or_self(ctx, credential.user_id)
    _revoke(_locked(credential, ctx=ctx), ctx=ctx)


def read_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    """Return scopes by name. Raise `InvalidRequest` for unknown names and for an empty list."""
    names = list(scopes)
    unknown = [name for name in names if name not in Scope]
    if unknown or not names:
        known = ", ".join(scope.value for scope in Scope)
        raise errors.InvalidRequest(
            f"Use scopes out of {known}.",
            errors=[FieldError("/scopes", f"{name[:63]!r} is not known", "unknown_scope") for name in unknown]
            or [FieldError("/scopes", "are missing", "required")],
        )
    return frozenset(Scope(name) for name in names)


def _check_member(principal: User, *, ctx: ActingContext) -> None:
    belongs = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).exists()
    if not (belongs and principal.is_active):
        raise errors.InvalidRequest(
            "The principal is not an active member of this tenant.",
            errors=[FieldError("/principal", "is not an active member", "not_a_member")],
        )


def _check_grantable(asked: frozenset[Scope], principal: User, *, ctx: ActingContext) -> None:
    granted = scopes_somewhere(permissions_of_principal(principal.id, tenant_id=ctx.tenant_id))
    if not is_steward(ctx):
        granted &= with_implied(ctx.scopes)
    beyond = sorted(asked - granted)
    if beyond:
        raise errors.ScopeNotGrantable(
            f"The roles of {principal.username} do not hold {', '.join(beyond)}. Ask for fewer scopes or grant a role.",
            errors=[FieldError("/scopes", f"{scope} is not held", "scope_not_held") for scope in beyond],
        )


def _expiry(expires_in: timedelta | None, now: datetime) -> datetime | None:
    if expires_in is None:
        return None
    if not timedelta(0) < expires_in <= LONGEST_LIFE:
        raise errors.InvalidRequest(
            "The lifetime of a credential must be greater than zero and at most ten years.",
            errors=[FieldError("/expires_in", "is out of range", "out_of_range")],
        )
    return now + expires_in


def _issued(
    principal: User,
    scopes: frozenset[Scope],
    *,
    label: str,
    expires_at: datetime | None,
    ctx: ActingContext,
    replaces: Credential | None = None,
) -> IssuedCredential:
    token = tokens.new_token()
    credential = Credential.objects.create(
        tenant_id=ctx.tenant_id,
        user=principal,
        token_sha256=tokens.digest(token),
        hint=token[:_HINT_LENGTH],
        label=label[:200],
        scopes=sorted(scopes),
        issued_by=None if ctx.is_system else ctx.principal_id,
        expires_at=expires_at,
    )
    inputs = {
        "credential": credential.public_id,
        "principal": principal.public_id,
        "scopes": sorted(scopes),
        "expires_at": clock.rfc3339(expires_at) if expires_at else None,
        **({"replaces": replaces.public_id} if replaces else {}),
    }
    record(Entry(kind="credential.issued", inputs=inputs), ctx=ctx)
    return IssuedCredential(credential, token)


def _locked(credential: Credential, *, ctx: ActingContext) -> Credential:
    locked = Credential.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=credential.id).first()
    if locked is None:
        raise errors.NotFound("There is no such credential in this tenant.")
    return locked


def _revoke(credential: Credential, *, ctx: ActingContext) -> None:
    if credential.revoked_at is not None:
        return
    credential.revoked_at = clock.now()
    credential.save(update_fields=["revoked_at"])
    inputs = {"credential": credential.public_id, "principal": ids.public_id(ids.PRINCIPAL, credential.user_id)}
    record(Entry(kind="credential.revoked", inputs=inputs), ctx=ctx)
