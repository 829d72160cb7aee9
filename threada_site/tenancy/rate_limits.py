"""Rate limits: the buckets that a request draws from, shared by all processes of the instance.

Tokens are leased in blocks by one statement outside of the request's transaction. If the table of buckets cannot be
written (a full disk, a standby), each process counts alone.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.crypto import salted_hmac

from threada_site.kernel.context import ActingContext, ObjectGrants
from threada_site.kernel.errors import RateLimited
from threada_site.kernel.metrics import Metric
from threada_site.tenancy.instance_models import RateRefusals
from threada_site.tenancy.rate_leases import Admission, Bucket, Granted, Leases, Wanted, lend_alone

CREDENTIAL: Final = "credential"
ACCOUNT: Final = "account"
TENANT: Final = "tenant"
ADDRESS: Final = "address"
AUTHENTICATION: Final = "authentication:"
"""Prefix of the kinds by which failed authentications are counted, before the reason code."""
EVALUATOR: Final = "evaluator:"
"""Prefix of the kinds by which events of evaluators are counted."""
_KINDS: Final = {
    CREDENTIAL: "this credential",
    ACCOUNT: "this account",
    TENANT: "this tenant",
    ADDRESS: "failed authentications of this address",
}
_LEASE: Final = (
    "SELECT granted, remaining FROM threada_lease_tokens("
    "$1::text[], $2::double precision[], $3::double precision[], $4::double precision[], $5::text[], $6::bigint[])"
)
_NOT_WRITABLE: Final = (
    psycopg.errors.DiskFull,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.FeatureNotSupported,  # an unlogged table on a standby
)

log = structlog.get_logger("threada.api")


def buckets_of_credential(credential_id: uuid.UUID, tenant_id: uuid.UUID) -> list[Bucket]:
    """Return the buckets of a request of the API."""
    return [*_bucket(CREDENTIAL, str(credential_id)), *_bucket(TENANT, str(tenant_id))]


def buckets_of_account(user_id: uuid.UUID, tenant_id: uuid.UUID | None) -> list[Bucket]:
    """Return the buckets of a request of the console.

    The people of a tenant have another bucket than its credentials, so that they can stop a credential that floods.
    """
    return [*_bucket(ACCOUNT, str(user_id)), *(_bucket(TENANT, f"{tenant_id}:people") if tenant_id else ())]


def buckets_of_address(address: str) -> list[Bucket]:
    """Return the bucket of failed authentications of an address; none for "", the unknown address behind a proxy."""
    return _bucket(ADDRESS, _hidden(address)) if address else []


def refusal_of(admission: Admission) -> RateLimited:
    """Return the refusal of a request by a bucket."""
    rate = settings.THREADA_RATE_LIMITS[admission.kind]
    return RateLimited(
        f"The limit of {rate} requests per second of {_KINDS[admission.kind]} is used up. "
        f"Nothing was changed. Retry in {admission.retry_s} s.",
        headers={"Retry-After": str(admission.retry_s), **headers_of(admission)},
    )


def without_permissions(ctx: ActingContext) -> ActingContext:
    """Return a context that names who acts and permits nothing, small enough to be kept for receipts of refusals."""
    return replace(ctx, roles=frozenset(), groups=frozenset(), scopes=frozenset(), grants=ObjectGrants())


def headers_of(admission: Admission) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-06, the last draft with three separate fields.

    The quota is that of the tightest bucket; its window is the time in which an empty bucket becomes full.
    """
    return {
        "RateLimit-Limit": str(admission.limit),
        "RateLimit-Remaining": str(admission.remaining),
        "RateLimit-Reset": str(admission.reset_s),
    }


def refusal_metrics() -> Iterator[Metric]:
    """Yield the number of requests refused by kind of limit, and of failed authentications by reason code."""
    counted = dict(RateRefusals.objects.values_list("kind", "requests"))
    for kind in _KINDS:
        yield Metric(
            "threada_rate_limited_requests",
            "Requests refused by rate limits since the last crash of the database.",
            counted.get(kind, 0),
            (("limit", kind),),
        )
    for kind, requests in sorted(counted.items()):
        if kind.startswith(AUTHENTICATION):
            yield Metric(
                "threada_authentication_refusals",
                "Requests whose credential was refused since the last crash of the database.",
                requests,
                (("reason", kind.removeprefix(AUTHENTICATION)),),
            )


def counted_by(prefix: str) -> dict[str, int]:
    """Return the numbers of all kinds with a prefix, by the rest of the kind, since the last crash of the database."""
    rows = RateRefusals.objects.filter(kind__startswith=prefix).values_list("kind", "requests")
    return {kind.removeprefix(prefix): number for kind, number in rows}


def _bucket(kind: str, name: str) -> list[Bucket]:
    """Return the bucket, or none if there is no limit of this kind."""
    rate = settings.THREADA_RATE_LIMITS[kind]
    return [Bucket(kind, f"{kind}:{name}", rate, rate * settings.THREADA_RATE_BURST_SECONDS)] if rate else []


@lru_cache(4096)
def _hidden(address: str) -> str:
    """Return a keyed digest of an address, because rows outlive requests and addresses are personal data."""
    return salted_hmac("threada.rate_limits", address, algorithm="sha256").hexdigest()[:32]


def _lend(wanted: Sequence[Wanted], refused: Counter[str]) -> list[Granted] | None:
    """Lease tokens from the database. Return None if it cannot be written."""
    parameters = [
        [want.bucket.key for want in wanted],
        [float(want.bucket.rate) for want in wanted],
        [float(want.bucket.burst) for want in wanted],
        [float(want.tokens) for want in wanted],
        list(refused.keys()),
        list(refused.values()),
    ]
    try:
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(_LEASE, parameters)
            granted = [Granted(int(tokens), left) for tokens, left in cursor.fetchall()]
    except DatabaseError as error:
        if not isinstance(error.__cause__, _NOT_WRITABLE):
            raise
        log.warning("rate_limits_not_shared", error=str(error))
        return None
    for want, found in zip(wanted, granted, strict=True):
        if not found.tokens:
            log.info("rate_limit_reached", limit=want.bucket.kind)
    return granted


leases: Final = Leases(_lend)
lookups: Final = Leases(lend_alone)
"""Tokens for authentications of addresses whose bucket is empty; each process has its own."""
