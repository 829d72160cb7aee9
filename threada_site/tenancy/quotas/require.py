"""Refusal of what exceeds a quota, before it is created.

Rare kinds are counted at each request, without a lock, so that requests at the same moment may pass together. Open work
items are counted by each process at most once in `_FRESH_S` seconds, near the quota once a second, and less often if
counting takes long. Between two counts a process adds what it creates itself. So a create normally takes no further
statement, and the quota may be exceeded by what other processes create between two counts.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Final

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import QuotaExceeded
from threada_site.tenancy.quotas.kinds import ADVICE, NAMES, Quota
from threada_site.tenancy.quotas.usage import Usage, counted_now, quotas_of

MOST_TENANTS: Final = 10_000
"""Tenants whose counts one process remembers."""
_NEAR: Final = 0.8
_FRESH_S: Final = 5.0
_FRESH_NEAR_S: Final = 1.0
_COUNTING_SHARE: Final = 100
"""Counting takes at most one part in this many of a process's time, for a tenant."""
_MOST_FRESH_S: Final = 30.0


@dataclass(slots=True)
class _OpenItems:
    used: int
    most: int
    stored: Usage
    fresh_until: float
    near_s: float


_counts: Final[dict[uuid.UUID, _OpenItems]] = {}
_lock: Final = threading.Lock()


def require_quota(kind: Quota, *, ctx: ActingContext, including: int = 0) -> None:
    """Raise `QuotaExceeded` unless the tenant may have one more of `kind`, and may store more bytes if it is stored.

    `including`: rows that the transaction has added already.
    """
    require_unit_of_work(ctx.tenant_id)
    quotas = quotas_of(ctx.tenant_id)
    counted = counted_now(quotas[kind], ctx.tenant_id, more=including)
    _check(kind, counted.used - including, counted.most)
    if kind in (Quota.POLICY_DRAFTS, Quota.EXPORTS):
        _check_stored(quotas[Quota.STORED_BYTES])


def require_open_item_quota(*, ctx: ActingContext) -> None:
    """Raise `QuotaExceeded` unless the tenant may have one more open work item."""
    found = _counts.get(ctx.tenant_id)
    if found is None or time.monotonic() >= found.fresh_until:
        found = _count(ctx)
    _check_stored(found.stored)
    with _lock:
        _check(Quota.OPEN_WORK_ITEMS, found.used, found.most)
        found.used += 1
        if found.used >= _NEAR * found.most:
            found.fresh_until = min(found.fresh_until, time.monotonic() + found.near_s)


def require_stored_bytes(*, ctx: ActingContext) -> None:
    """Raise `QuotaExceeded` unless the tenant may store more bytes. Their number is as old as for open work items."""
    found = _counts.get(ctx.tenant_id)
    _check_stored((found if found is not None and time.monotonic() < found.fresh_until else _count(ctx)).stored)


def forget_counts() -> None:
    """Count the open work items again with the next request."""
    _counts.clear()


def _count(ctx: ActingContext) -> _OpenItems:
    """Count the open work items of the tenant, whether or not the actor sees them all."""
    require_unit_of_work(ctx.tenant_id)
    begun = time.monotonic()
    quotas = quotas_of(ctx.tenant_id)
    counted = counted_now(quotas[Quota.OPEN_WORK_ITEMS], ctx.tenant_id)
    now = time.monotonic()
    seldom_s = min(_COUNTING_SHARE * (now - begun), _MOST_FRESH_S)
    found = _OpenItems(
        counted.used,
        counted.most,
        quotas[Quota.STORED_BYTES],
        fresh_until=now + max(_FRESH_S, seldom_s),
        near_s=max(_FRESH_NEAR_S, seldom_s),
    )
    if counted.used >= _NEAR * counted.most:
        found.fresh_until = now + found.near_s
    if len(_counts) >= MOST_TENANTS:
        _counts.clear()
    _counts[ctx.tenant_id] = found
    return found


def _check_stored(quota: Usage) -> None:
    _check(Quota.STORED_BYTES, quota.used, quota.most)


def _check(kind: Quota, used: int, most: int) -> None:
    if used >= most:
        raise QuotaExceeded(
            f"This tenant has {used} {NAMES[kind]}; its quota is {most}. {ADVICE[kind]}, or ask the operator of the "
            "instance to raise the quota.",
            quota=kind.value,
            limit=most,
            used=used,
        )
