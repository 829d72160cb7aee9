"""Verification of a token (JWT): its trusted issuer, in one SQL statement, and its signature.

Issuer and audience determine the tenant. Nothing is fetched: a job fetches keys.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
import structlog
from django.db import connection

from telemetry.receipts import refusals
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers.audiences import is_audience_of
from threada_site.identity.trusted_issuers.claims import (
    LEEWAY,
    Mapped,
    NothingMappedError,
    UnverifiedToken,
    map_claims,
    read_token,
)
from threada_site.identity.trusted_issuers.document import DEFAULT_MINUTES
from threada_site.identity.trusted_issuers.keys import is_signed, public_keys
from threada_site.jobs.enqueue import ISSUER_QUEUE, enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.trusted_issuer_models import FETCH_KEYS, TrustedIssuer, keys_source

KEYS_LAST: Final = timedelta(hours=24)
"""Time after which keys that could not be fetched again are no longer trusted."""
FETCH_INTERVAL: Final = timedelta(minutes=1)
_FIND: Final = "SELECT * FROM threada_trusted_issuers($1, $2::text[])"
_key_sets: Final[WeightedCache[tuple[uuid.UUID, datetime | None], dict[str, Any]]] = WeightedCache(max_weight=1000)
"""Usable keys by version of the trusted issuer and time of the fetch."""
_asked: Final[WeightedCache[uuid.UUID, float]] = WeightedCache(max_weight=10_000)
"""Time at which this process last asked for a fetch, by trusted issuer."""

log = structlog.get_logger("threada.api")


@dataclass(frozen=True, slots=True)
class FoundIssuer:
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


class VerifiedToken(NamedTuple):
    """Token with a verified signature, and what its claims are mapped to until `expires_at`."""

    token: UnverifiedToken
    issuer: FoundIssuer
    mapped: Mapped
    expires_at: datetime


def verify_token(text: str) -> VerifiedToken:
    """Verify signature, times and claims of a token.

    Raise the refusals of tokens (`Workload…`). Whoever holds a token that no mapping is for is answered like everybody
    whose token is not trusted: the issuer may be shared by many, who need not learn who trusts it. The cause is in the
    log, and in the counted refusals of the tenant if the signature is genuine.
    """
    now = clock.now()
    token = read_token(text, now=now)
    found = _trusted(token, now=now)
    structlog.contextvars.bind_contextvars(tenant=found.tenant_slug, trusted_issuer=found.slug)
    try:
        mapped = map_claims(token.claims, found.spec["mappings"], default_minutes=DEFAULT_MINUTES)
        expires_at = min(token.expires_at, token.issued_at + mapped.lifetime)
        if expires_at + LEEWAY <= now:
            raise errors.WorkloadTokenExpired("It is older than the lifetime that the trusted issuer allows.")
    except NothingMappedError as cause:
        count_refusal(found, errors.WorkloadNotMapped())
        log.info("workload_token_untrusted", cause="not_mapped", problem=str(cause)[:300])
        raise errors.WorkloadTokenUntrusted from None
    except ThreadaError as refusal:
        count_refusal(found, refusal)
        raise
    return VerifiedToken(token, found, mapped, expires_at)


def count_refusal(found: FoundIssuer, refusal: ThreadaError) -> None:
    """Count the refusal of a genuine token whose principal is not known. Its tenant gets one receipt for a minute."""
    refusals.count_refusal(found.tenant_id, refusal.reason_code)


def _trusted(token: UnverifiedToken, *, now: datetime) -> FoundIssuer:
    """Return the trusted issuer that signed the token.

    All other tokens are refused alike, whether or not their issuer is registered: the cause is in the log only.
    """
    found = _find(token)
    cause = "unknown_issuer_or_audience" if found is None else ""
    if found is not None and not is_audience_of(found.tenant_slug, found.audience):
        cause = "audience_not_allowed"
    elif found is not None and token.algorithm not in found.spec.get("algorithms", ["RS256"]):
        cause = "algorithm"
    key = None if found is None or cause else _key(found, token.key_id, now=now)
    is_genuine = is_signed(token.text, key, token.algorithm)
    if found is not None and is_genuine:
        return found
    cause = cause or ("unknown_key" if key is None else "signature")
    log.info("workload_token_untrusted", cause=cause, trusted_issuer=found.slug if found else None)
    if found is not None and cause == "unknown_key" and _ask_for_keys(found, now=now):
        raise errors.WorkloadTokenUntrusted(keeps_changes=True)
    raise errors.WorkloadTokenUntrusted


def _find(token: UnverifiedToken) -> FoundIssuer | None:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_FIND, [token.issuer, list(token.audiences)])
        rows = cursor.fetchall()
    if len(rows) != 1:
        return None
    values = list(rows[0])
    values[7], values[8] = _loaded(values[7]), _loaded(values[8])
    return FoundIssuer(*values)


def _key(found: FoundIssuer, key_id: str, *, now: datetime) -> Any:
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


def _ask_for_keys(found: FoundIssuer, *, now: datetime) -> bool:
    """Enqueue a fetch of the keys, at most one per trusted issuer and minute. Return True if it was enqueued.

    Each process asks the database once a minute at most, however many key ids are invented.
    """
    asked_at = _asked.get(found.issuer_id)
    is_recent = asked_at is not None and time.monotonic() - asked_at < FETCH_INTERVAL.total_seconds()
    if not keys_source(found.spec) or is_recent:
        return False
    if found.keys_fetched_at is not None and found.keys_fetched_at + FETCH_INTERVAL > now:
        return False
    _asked.put(found.issuer_id, time.monotonic())
    with unit_of_work(found.tenant_id):
        rows = TrustedIssuer.objects.filter(tenant_id=found.tenant_id, id=found.issuer_id)
        recently = rows.filter(keys_wanted_at__gt=now - FETCH_INTERVAL)
        if recently.exists() or not rows.update(keys_wanted_at=now):
            return False
        enqueue(FETCH_KEYS, tenant_id=found.tenant_id, queue=ISSUER_QUEUE, issuer_id=str(found.issuer_id))
    return True


def _loaded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
