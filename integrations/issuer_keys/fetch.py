"""Fetch of the key set of a trusted issuer, directly or through its discovery document."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber

from integrations.attempts.failures import TransportFailure
from integrations.transport import EgressPolicy, OutboundRequest, UnusableUrl, read_url, send
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import ISSUER_QUEUE, enqueue, live_jobs
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.json.strict import parse_json
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.trusted_issuer_models import FETCH_KEYS, TrustedIssuer, keys_source

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
REFRESH: Final = timedelta(hours=1)
INTERVAL: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(minutes=30)
"""Longest time between two fetches of keys that cannot be fetched. It begins with a minute and doubles."""
BATCH: Final = 200
MOST_OF_TENANT: Final = 10
"""Fetches of one tenant that one sweep enqueues, so that others do not wait for issuers that hang."""
MOST_KEYS: Final = 50
_KEPT: Final = frozenset({"kty", "n", "e", "crv", "x", "y", "kid", "alg", "use", "key_ops", "d", "k"})
"""Members of a key that are stored: the public key and its purpose, and the mark of a key that is not public."""
_LONGEST: Final = 2_000
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger("threada.integrations")


class UnusableKeys(Exception):
    """An answer that contains no keys. The message says why."""


def fetch_issuer_keys(tenant: Tenant, issuer_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Fetch and store the keys of a trusted issuer, unless the last fetch is recent or failed. Safe to run twice.

    Receipt `trusted_issuer.keys_changed` if they differ. A failure is stored with the issuer and leaves its keys.
    """
    now = clock.now()
    with unit_of_work(tenant.id):
        row = _row(tenant, issuer_id)
        if row is None or row.current_version is None:
            return
        spec, source = row.current_version.spec, keys_source(row.current_version.spec)
        if not source or (row.keys_tried_source == source and _may_wait(row, now=now)):
            return
        is_new = row.keys_tried_source != source
        TrustedIssuer.objects.filter(tenant_id=tenant.id, id=row.id).update(
            keys_tried_at=now,
            keys_tried_source=source,
            keys_failures=0 if is_new else F("keys_failures"),
            keys_due_at=now + 2 * INTERVAL,  # if this worker is lost
        )
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: the answer may take seconds
    try:
        keys, problem = _fetched(spec, source), ""
    except (TransportFailure, UnusableKeys) as failure:
        keys, problem = None, str(getattr(failure, "detail", failure))[:500]
        log.warning("issuer_keys_not_fetched", trusted_issuer=row.slug, problem=problem)
    with unit_of_work(tenant.id):
        current = _row(tenant, issuer_id, is_locked=True)
        if current is None or current.current_version is None or keys_source(current.current_version.spec) != source:
            return
        current.keys_problem = problem
        current.keys_failures = current.keys_failures + 1 if problem else 0
        current.keys_due_at = now + (_pause(current.keys_failures) if problem else REFRESH)
        if keys is not None:
            if (current.keys_source, current.keys) != (source, keys):
                record(_entry(current, keys, source), ctx=ctx)
            current.keys, current.keys_source, current.keys_fetched_at = keys, source, clock.now()
        current.save(
            update_fields=["keys", "keys_source", "keys_fetched_at", "keys_problem", "keys_failures", "keys_due_at"]
        )


def enqueue_due_fetches(*, now: datetime) -> int:
    """Enqueue fetches of keys that are due or wanted, some of each tenant. Return the number of jobs.

    Fetches that failed before come last, because their issuers may not answer.
    """
    is_wanted = Q(keys_wanted_at__gt=F("keys_tried_at"), keys_tried_at__lte=now - INTERVAL, keys_failures=0)
    with platform_role():
        rows = TrustedIssuer.objects.filter(Q(keys_due_at=None) | Q(keys_due_at__lte=now) | is_wanted)
        rows = rows.filter(current_version__isnull=False).exclude(current_version__spec__has_key="jwks")
        place = Window(RowNumber(), partition_by=F("tenant_id"), order_by=["keys_failures", "keys_due_at"])
        rows = rows.alias(place=place).filter(place__lte=MOST_OF_TENANT).order_by("keys_failures", "keys_due_at")
        found = list(rows.values_list("tenant_id", "id", "keys_failures")[:BATCH])
        live = live_jobs(FETCH_KEYS, "issuer_id", [str(issuer_id) for _, issuer_id, _ in found])
        missing = [each for each in found if str(each[1]) not in live]
        for tenant_id, issuer_id, failures in missing:
            enqueue(
                FETCH_KEYS,
                tenant_id=tenant_id,
                queue=ISSUER_QUEUE,
                priority=-1 if failures else 0,
                issuer_id=str(issuer_id),
            )
    return len(missing)


def _may_wait(row: TrustedIssuer, *, now: datetime) -> bool:
    """Return True if the keys were fetched within the last minute, or could not be and are not due yet."""
    if row.keys_failures and row.keys_due_at is not None:
        return row.keys_due_at > now
    return row.keys_tried_at is not None and row.keys_tried_at > now - INTERVAL


def _pause(failures: int) -> timedelta:
    """Return the time from a failed fetch to the next one."""
    return min(INTERVAL * 2 ** min(failures - 1, 10), LONGEST_PAUSE)


def _fetched(spec: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the key set. Raise `TransportFailure` or `UnusableKeys`."""
    address = source
    if "jwks_url" not in spec:
        discovered = _json(source)
        if discovered.get("issuer") != spec["issuer"]:
            raise UnusableKeys(f"The discovery document at {source} is that of another issuer.")
        named = discovered.get("jwks_uri")
        if not isinstance(named, str):
            raise UnusableKeys(f"The discovery document at {source} has no jwks_uri.")
        address = named
    keys = _json(address).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise UnusableKeys(f"{address} is not a key set (JWKS).")
    kept = [{name: key[name] for name in key if name in _KEPT and _is_short(key[name])} for key in keys[:MOST_KEYS]]
    return {"keys": kept}


def _is_short(value: Any) -> bool:
    return (isinstance(value, str) and len(value) <= _LONGEST) or (isinstance(value, list) and len(value) <= 10)


def _json(address: str) -> dict[str, Any]:
    try:
        target = read_url(address)
    except UnusableUrl as error:
        raise UnusableKeys(str(error)) from None
    if target.scheme != "https" and target.host not in _LOOPBACK:
        raise UnusableKeys(f"Keys are not fetched over plain http: {address}")
    request = OutboundRequest("GET", address, headers=(("Accept", "application/json"),))
    answer = send(
        request, egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW), timeout_s=TIMEOUT_S, max_body_bytes=MAX_BYTES
    )
    if answer.status != 200:
        raise UnusableKeys(f"{address} answered {answer.status}.")
    try:
        found = parse_json(answer.body)
    except ThreadaError:
        found = None
    if not isinstance(found, dict):
        raise UnusableKeys(f"{address} did not answer with a JSON object.")
    return found


def _row(tenant: Tenant, issuer_id: uuid.UUID, *, is_locked: bool = False) -> TrustedIssuer | None:
    rows = TrustedIssuer.objects.select_related("current_version")
    if is_locked:
        rows = rows.select_for_update(of=("self",))
    return rows.filter(tenant_id=tenant.id, id=issuer_id).first()


def _entry(row: TrustedIssuer, keys: dict[str, Any], source: str) -> Entry:
    ids = sorted(str(key.get("kid"))[:100] for key in keys["keys"][:50])
    inputs = {"trusted_issuer": row.slug, "source": source, "keys_sha256": canonical_sha256(keys), "key_ids": ids}
    return Entry(kind="trusted_issuer.keys_changed", inputs=inputs)
