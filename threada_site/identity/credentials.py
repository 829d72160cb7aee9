"""Issue and revocation of credentials. A token is shown once; only its digest is stored.

People issue their own credentials, called personal tokens, in their own session. Stewards issue those of services and
agents. The operator issues any.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.confirmation import require_stepped_up_person
from threada_site.identity.dependence import record_dependence
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.selectors import permissions_of_principal, scopes_somewhere
from threada_site.identity.stewardship import require_steward, require_steward_or_self
from threada_site.identity.tenants import personal_token_days
from threada_site.kernel import clock, errors, ids, tokens
from threada_site.kernel.context import (
    ActingContext,
    EntryPoint,
    PrincipalKind,
    Scope,
)
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.change_sets import ProposedChange, is_confirmation_needed, require_confirmation
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.independence import require_known_owner
from threada_site.tenancy.models import Credential, Membership, User

LONGEST_LIFE: Final = timedelta(days=3660)
PROVISIONING_CLIENT: Final = "the credential of a provisioning client"
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

    Receipt `credential.issued`. A person is notified, and the account of a service or an agent depends on the issuer.
    Raise `PermissionDenied` for the credential of another person, of oneself without a session, and of a service or an
    agent without being a steward; `ScopeNotGrantable` with the scopes that the roles do not have; `InvalidRequest` for
    unknown scopes, no scopes, a principal that is no active member or has not accepted the invitation, a personal token
    without a label or beyond the tenant's longest life, or a lifetime outside of 0 to 10 years. A service issues none
    to itself, and none that is valid for longer than the token that it uses.

    Only a person after a step-up, or the operator, issues a token of a service or an agent with `identity:provision`
    (`PersonRequired`, `StepUpRequired`). Under `identity_four_eyes` it is not valid before an independent steward
    publishes the change set that is proposed here; a token that a service issues never is, whatever the rules say. A
    service without a known owner issues none (`OwnerRequired`).
    """
    require_unit_of_work(ctx.tenant_id)
    is_own = principal.kind == PrincipalKind.HUMAN and not ctx.is_system
    asked = read_scopes(scopes)
    if principal.kind != PrincipalKind.HUMAN and Scope.IDENTITY_PROVISION in asked:
        require_stepped_up_person(PROVISIONING_CLIENT, ctx=ctx)
    _check_issuer(principal, ctx=ctx)
    _check_machine(principal, expires_in, ctx=ctx)
    now = clock.now()
    _check_member(principal, ctx=ctx)
    _check_grantable(asked, principal, tenant_id=ctx.tenant_id)
    if is_own:
        _check_personal(label, expires_in, ctx=ctx)
    awaits = _awaits_confirmation(principal, asked, ctx=ctx)
    issued = _issued(
        principal, asked, label=label, expires_at=_expiry(expires_in, now), awaits_confirmation=awaits, ctx=ctx
    )
    if awaits:
        propose(_confirmation_of(issued.credential), ctx=ctx)
    if principal.kind != PrincipalKind.HUMAN:
        record_dependence(principal, DependenceReason.ISSUED, ctx=ctx)
    elif ctx.entry_point is not EntryPoint.JOB:
        notify_person(principal.id, "credential_issued", label or issued.credential.hint, ctx=ctx)
    return issued


def confirm_credential(credential: Credential, *, ctx: ActingContext) -> None:
    """Confirm a credential that awaits it. Receipt `credential.confirmed`; nothing happens if it awaits none.

    Raise `NotFound` for a credential that is not live, `ConfirmationRequired` for a steward alone.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    locked = _locked(credential, ctx=ctx)
    if not locked.is_live:
        raise errors.NotFound("The credential is revoked or has expired.")
    if not locked.awaits_confirmation:
        return
    if Scope.IDENTITY_PROVISION in locked.scopes:
        require_stepped_up_person(PROVISIONING_CLIENT, ctx=ctx)
    require_confirmation(_confirmation_of(locked), ctx=ctx, always=True)
    locked.awaits_confirmation = False
    locked.confirmed_by = None if ctx.is_system else ctx.principal_id
    locked.save(update_fields=["awaits_confirmation", "confirmed_by"])
    inputs = {"credential": locked.public_id, "principal": ids.public_id(ids.PRINCIPAL, locked.user_id)}
    record(Entry(kind="credential.confirmed", inputs=inputs), ctx=ctx)


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


def _check_issuer(principal: User, *, ctx: ActingContext) -> None:
    if ctx.is_system:
        return
    if principal.kind == PrincipalKind.HUMAN:
        if ctx.principal_id != principal.id or not ctx.authentication.is_session:
            raise errors.PermissionDenied(
                "People issue their own tokens, in their own console session. Nobody else can, and a token cannot."
            )
    elif ctx.principal_kind is PrincipalKind.AGENT:
        raise errors.PermissionDenied("Agents cannot issue credentials.")
    else:
        require_steward(ctx)
        require_known_owner(ctx)


def _check_machine(principal: User, expires_in: timedelta | None, *, ctx: ActingContext) -> None:
    """Keep a service from extending its own access: by a credential of its own, or one that outlives its token."""
    if ctx.is_system or ctx.principal_kind is PrincipalKind.HUMAN:
        return
    if principal.id == ctx.principal_id:
        raise errors.PermissionDenied("A service cannot issue a credential to itself. Another steward does.")
    ends_at = _token_ends_at(ctx)
    if ends_at is not None and (expires_in is None or clock.now() + expires_in > ends_at):
        raise errors.PermissionDenied(
            f"A service cannot issue a credential that is valid for longer than its own token, until "
            f"{clock.rfc3339(ends_at)}. A person issues it."
        )


def _token_ends_at(ctx: ActingContext) -> datetime | None:
    """Return the time at which the token of the request expires. None: never."""
    if ctx.authentication.workload is not None:
        return ctx.authentication.workload.expires_at
    if ctx.credential_id is None:
        return None
    found = Credential.objects.filter(tenant_id=ctx.tenant_id, id=ctx.credential_id)
    return found.values_list("expires_at", flat=True).first()


def _check_personal(label: str, expires_in: timedelta | None, *, ctx: ActingContext) -> None:
    days = personal_token_days(ctx.tenant_id)
    if not label.strip():
        raise errors.InvalidRequest("Name the token.", errors=[FieldError("/label", "is missing", "required")])
    if expires_in is None or expires_in > timedelta(days=days):
        raise errors.InvalidRequest(
            f"A personal token expires after at most {days} days.",
            errors=[FieldError("/expires_in", "is missing or too long", "out_of_range")],
        )


def _check_member(principal: User, *, ctx: ActingContext) -> None:
    belongs = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal, accepted_at__isnull=False).exists()
    if not (belongs and principal.is_active):
        raise errors.InvalidRequest(
            "The principal is not an active member of this tenant.",
            errors=[FieldError("/principal", "is not an active member", "not_a_member")],
        )


def _check_grantable(asked: frozenset[Scope], principal: User, *, tenant_id: uuid.UUID) -> None:
    granted = scopes_somewhere(permissions_of_principal(principal.id, tenant_id=tenant_id))
    beyond = sorted(asked - granted)
    if beyond:
        raise errors.ScopeNotGrantable(
            f"The roles of {principal.username} do not hold {', '.join(beyond)}. Ask for fewer scopes or grant a role.",
            errors=[FieldError("/scopes", f"{scope} is not held", "scope_not_held") for scope in beyond],
        )


def _awaits_confirmation(principal: User, asked: frozenset[Scope], *, ctx: ActingContext) -> bool:
    if ctx.is_machine:
        return True
    provisions = principal.kind != PrincipalKind.HUMAN and Scope.IDENTITY_PROVISION in asked
    return provisions and is_confirmation_needed(IDENTITY_FOUR_EYES, ctx=ctx)


def _confirmation_of(credential: Credential) -> ProposedChange:
    """Return the change that makes a credential valid, which a steward independent of its issuer may publish."""
    name = credential.user.username
    expires_at = clock.rfc3339(credential.expires_at) if credential.expires_at else None
    return ProposedChange(
        rule=IDENTITY_FOUR_EYES,
        operation="identity.confirm_credential",
        title=f"Let {name} use the credential {credential.hint}…"
        if Scope.IDENTITY_PROVISION not in credential.scopes
        else f"Let {name} provision people and groups",
        arguments={"credential": credential.public_id},
        before={name: {}},
        after={name: {"credential": credential.hint, "scopes": credential.scopes, "expires_at": expires_at}},
        parties=frozenset({credential.issued_by} if credential.issued_by else set()),
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
    awaits_confirmation: bool,
    ctx: ActingContext,
) -> IssuedCredential:
    token = tokens.new_token()
    session_factors = list(ctx.authentication.factors) if principal.id == ctx.principal_id else None
    credential = Credential.objects.create(
        tenant_id=ctx.tenant_id,
        user=principal,
        token_sha256=tokens.digest(token),
        hint=token[:_HINT_LENGTH],
        label=label[:200],
        scopes=sorted(scopes),
        issued_by=None if ctx.is_system else ctx.principal_id,
        expires_at=expires_at,
        awaits_confirmation=awaits_confirmation,
        session_factors=session_factors,
    )
    inputs = {
        "credential": credential.public_id,
        "principal": principal.public_id,
        "scopes": sorted(scopes),
        "expires_at": clock.rfc3339(expires_at) if expires_at else None,
        **({} if session_factors is None else {"session_factors": session_factors}),
    }
    record(Entry(kind="credential.issued", inputs=inputs), ctx=ctx)
    return IssuedCredential(credential, token)


def _locked(credential: Credential, *, ctx: ActingContext) -> Credential:
    locked = (
        Credential.objects.select_related("user")
        .select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=credential.id)
        .first()
    )
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
