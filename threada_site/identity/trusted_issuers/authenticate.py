"""Authentication by a token of a trusted issuer, in two SQL statements of the request's transaction.

The first finds the trusted issuer by issuer and audience, which determine the tenant; the second enters the tenant as
the mapped principal. In between, signature and claims are verified. Nothing is fetched: a job fetches keys.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import structlog
from django.db import connection

from threada_site.database.unit_of_work import mark_entered, unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.trusted_issuers.claims import LEEWAY, Mapped, UnverifiedToken, map_claims, read_token
from threada_site.identity.trusted_issuers.document import DEFAULT_MINUTES
from threada_site.identity.trusted_issuers.keys import is_signed, public_keys
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue
from threada_site.kernel import clock, errors
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
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.effective_permissions import effective_permissions
from threada_site.tenancy.models import User
from threada_site.tenancy.trusted_issuer_models import FETCH_KEYS, TrustedIssuer, keys_source

KEYS_LAST: Final = timedelta(hours=24)
"""Time after which keys that could not be fetched again are no longer trusted."""
FETCH_INTERVAL: Final = timedelta(minutes=1)
_FIND: Final = "SELECT * FROM threada_trusted_issuers($1, $2::text[])"
_ENTER: Final = "SELECT * FROM threada_enter_workload($1, $2, $3::text[])"
_CREATE_ONCE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('workload ' || %s, 0))"
_key_sets: Final[WeightedCache[tuple[uuid.UUID, datetime | None], dict[str, Any]]] = WeightedCache(max_weight=1000)
"""Usable keys by version of the trusted issuer and time of the fetch."""
_unknown_keys: Final[WeightedCache[tuple[uuid.UUID, str], float]] = WeightedCache(max_weight=10_000)
"""Time of the last request for a key, by trusted issuer and `kid`."""

log = structlog.get_logger("threada.api")


@dataclass(frozen=True, slots=True)
class _Found:
    """Trusted issuer that a token names."""

    tenant_id: uuid.UUID
    tenant_slug: str
    issuer_id: uuid.UUID
    slug: str
    audience: str
    version_id: uuid.UUID
    created_by: uuid.UUID | None
    spec: dict[str, Any]
    keys: Any
    keys_source: str
    keys_fetched_at: datetime | None


def authenticate_workload(
    text: str, *, tenant: str | None, role: str | None, correlation_id: str
) -> tuple[ActingContext, ThreadaError | None]:
    """Enter the tenant of a verified token. Return its context, and the refusal if the principal may not act.

    `tenant` and `role` are those that the request asks for. Raise the refusals of tokens (`Workload…`).
    """
    now = clock.now()
    token = read_token(text, now=now)
    found = _verified(token, now=now)
    structlog.contextvars.bind_contextvars(tenant=found.tenant_slug, trusted_issuer=found.slug)
    mapped = map_claims(token.claims, found.spec["mappings"], default_minutes=DEFAULT_MINUTES)
    expires_at = min(token.expires_at, token.issued_at + mapped.lifetime)
    if expires_at + LEEWAY <= now:
        raise errors.WorkloadTokenExpired("It is older than the lifetime that the trusted issuer allows.")
    roles = _asked_roles(mapped, role)
    row = _enter(found, mapped, roles, correlation_id=correlation_id)
    status, user_id, kind, grants = row
    if status == "person":
        raise errors.WorkloadIsPerson
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
    return context, _refusal(context, status, tenant=tenant, role=role)


def _verified(token: UnverifiedToken, *, now: datetime) -> _Found:
    """Return the trusted issuer that signed the token.

    All other tokens are refused alike, whether or not their issuer is registered: the cause is in the log only.
    """
    found = _find(token)
    key = None if found is None else _key(found, token.key_id, now=now)
    is_allowed = found is not None and token.algorithm in found.spec.get("algorithms", ["RS256"])
    is_genuine = is_signed(token.text, key if is_allowed else None, token.algorithm)
    if found is not None and is_genuine:
        return found
    cause = "unknown_issuer_or_audience"
    if found is not None:
        cause = "algorithm" if not is_allowed else "unknown_key" if key is None else "signature"
    log.info("workload_token_untrusted", cause=cause, trusted_issuer=found.slug if found else None)
    if found is not None and cause == "unknown_key" and _want_key(found, token.key_id, now=now):
        raise errors.WorkloadTokenUntrusted(keeps_changes=True)
    raise errors.WorkloadTokenUntrusted


def _find(token: UnverifiedToken) -> _Found | None:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_FIND, [token.issuer, list(token.audiences)])
        rows = cursor.fetchall()
    if len(rows) != 1:
        return None
    values = list(rows[0])
    values[7], values[8] = _loaded(values[7]), _loaded(values[8])
    return _Found(*values)


def _key(found: _Found, key_id: str, *, now: datetime) -> Any:
    """Return the key with this id, or None if it is not known, or was fetched too long ago or from another source."""
    source = keys_source(found.spec)
    fetched_at = found.keys_fetched_at if source else None
    if source and (found.keys_source != source or fetched_at is None or fetched_at + KEYS_LAST <= now):
        return None
    keys = _key_sets.get((found.version_id, fetched_at))
    if keys is None:
        keys = public_keys(found.keys if source else found.spec["jwks"])
        _key_sets.put((found.version_id, fetched_at), keys)
    return keys.get(key_id)


def _want_key(found: _Found, key_id: str, *, now: datetime) -> bool:
    """Enqueue a fetch of the keys, at most one per trusted issuer and minute. Return True if it was enqueued.

    A key id that was unknown within the last minute does not reach the database again.
    """
    asked = _unknown_keys.get((found.issuer_id, key_id))
    if not keys_source(found.spec) or (asked is not None and time.monotonic() - asked < FETCH_INTERVAL.total_seconds()):
        return False
    _unknown_keys.put((found.issuer_id, key_id), time.monotonic())
    if found.keys_fetched_at is not None and found.keys_fetched_at + FETCH_INTERVAL > now:
        return False
    with unit_of_work(found.tenant_id):
        rows = TrustedIssuer.objects.filter(tenant_id=found.tenant_id, id=found.issuer_id)
        recently = rows.filter(keys_wanted_at__gt=now - FETCH_INTERVAL)
        if recently.exists() or not rows.update(keys_wanted_at=now):
            return False
        enqueue(FETCH_KEYS, tenant_id=found.tenant_id, queue=DELIVERY_QUEUE, issuer_id=str(found.issuer_id))
    return True


def _refusal(ctx: ActingContext, status: str, *, tenant: str | None, role: str | None) -> ThreadaError | None:
    if status == "inactive":
        return errors.PrincipalInactive()
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


def _enter(found: _Found, mapped: Mapped, roles: list[str] | None, *, correlation_id: str) -> Any:
    """Enter the tenant as the principal, which is created if the mapping says so. Raise `WorkloadNotMapped`."""
    row = _entered(found, mapped, roles)
    if row is None and mapped.create is not None:
        _create(found, mapped, correlation_id=correlation_id)
        row = _entered(found, mapped, roles)
    if row is None:
        raise errors.WorkloadNotMapped(f"There is no principal {mapped.principal} in the tenant {found.tenant_slug}.")
    return row


def _entered(found: _Found, mapped: Mapped, roles: list[str] | None) -> Any:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_ENTER, [found.tenant_id, mapped.principal, roles])
        return cursor.fetchone()


def _create(found: _Found, mapped: Mapped, *, correlation_id: str) -> None:
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
        add_principal(
            mapped.principal,
            kind=PrincipalKind(mapped.create["kind"]),
            roles=mapped.roles or (),
            owner=mapped.create["owner"],
            ctx=ctx,
        )


def _loaded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
