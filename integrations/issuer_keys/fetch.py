"""Fetch of the key set of a trusted issuer, directly or through its discovery document."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import F, Q

from integrations.attempts.failures import TransportFailure
from integrations.transport import EgressPolicy, OutboundRequest, UnusableUrl, read_url, send
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue, live_jobs
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
BATCH: Final = 200
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger("threada.integrations")


class UnusableKeys(Exception):
    """An answer that contains no keys. The message says why."""


def fetch_issuer_keys(tenant: Tenant, issuer_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Fetch and store the keys of a trusted issuer, at most once a minute and source. Safe to run twice.

    Receipt `trusted_issuer.keys_changed` if they differ. A failure is stored with the issuer and leaves its keys.
    """
    now = clock.now()
    with unit_of_work(tenant.id):
        row = _row(tenant, issuer_id)
        if row is None or row.current_version is None:
            return
        spec, source = row.current_version.spec, keys_source(row.current_version.spec)
        is_recent = row.keys_tried_at is not None and row.keys_tried_at > now - INTERVAL
        if not source or (is_recent and row.keys_tried_source == source):
            return
        TrustedIssuer.objects.filter(tenant_id=tenant.id, id=row.id).update(keys_tried_at=now, keys_tried_source=source)
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
        if keys is not None:
            if (current.keys_source, current.keys) != (source, keys):
                record(_entry(current, keys, source), ctx=ctx)
            current.keys, current.keys_source, current.keys_fetched_at = keys, source, clock.now()
        current.save(update_fields=["keys", "keys_source", "keys_fetched_at", "keys_problem"])


def enqueue_due_fetches(*, now: datetime) -> int:
    """Enqueue fetches of keys that are missing, wanted or older than an hour. Return the number of jobs."""
    is_due = Q(keys_tried_at=None) | Q(keys_tried_at__lte=now - REFRESH)
    is_due |= Q(keys_tried_at__lte=now - INTERVAL) & (
        Q(keys_fetched_at=None) | Q(keys_wanted_at__gt=F("keys_tried_at")) | ~Q(keys_problem="")
    )
    with platform_role():
        rows = TrustedIssuer.objects.filter(is_due, current_version__isnull=False)
        rows = rows.exclude(current_version__spec__has_key="jwks").order_by("keys_tried_at")
        found = list(rows.values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(FETCH_KEYS, "issuer_id", [str(issuer_id) for _, issuer_id in found])
        missing = [(tenant_id, issuer_id) for tenant_id, issuer_id in found if str(issuer_id) not in live]
        for tenant_id, issuer_id in missing:
            enqueue(FETCH_KEYS, tenant_id=tenant_id, queue=DELIVERY_QUEUE, issuer_id=str(issuer_id))
    return len(missing)


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
    return {"keys": keys}


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
