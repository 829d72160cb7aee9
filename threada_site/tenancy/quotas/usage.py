"""Used and allowed amounts of a tenant. Applications above count their own rows (`THREADA_QUOTA_ROWS`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.tenancy.models import TenantQuota
from threada_site.tenancy.quotas.kinds import NAMES, Quota

_SHOWN_BEYOND: Final = 10_000
"""Rows beyond a quota that are counted for display, because a quota may be lowered below what is used."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Used and allowed amount of one kind.

    `is_own`: the operator set the quota for this tenant. `counted_at`: None if it was counted now.
    """

    kind: Quota
    used: int
    most: int
    is_own: bool = False
    counted_at: datetime | None = None

    @property
    def name(self) -> str:
        return NAMES[self.kind].capitalize()

    @property
    def percent(self) -> int:
        """Return the used part of the quota in percent, at most 100."""
        return min(100, 100 * self.used // self.most) if self.most else 100


def usage_of(tenant_id: uuid.UUID) -> list[Usage]:
    """Return what the tenant uses of each quota. Rows are counted now; stored bytes were counted by a job."""
    require_unit_of_work(tenant_id)
    state = quotas_of(tenant_id)
    return [
        state[kind] if kind is Quota.STORED_BYTES else counted_now(state[kind], tenant_id, more=_SHOWN_BEYOND)
        for kind in Quota
    ]


def quotas_of(tenant_id: uuid.UUID) -> dict[Quota, Usage]:
    """Return the quotas of a tenant, with the stored counts."""
    rows = {row.kind: row for row in TenantQuota.objects.filter(tenant_id=tenant_id)}
    found = {}
    for kind in Quota:
        row, default = rows.get(kind.value), settings.THREADA_QUOTAS[kind]
        if row is None:
            found[kind] = Usage(kind, 0, default)
        else:
            most = default if row.most is None else row.most
            found[kind] = Usage(kind, row.used, most, row.most is not None, row.counted_at)
    return found


def counted_now(quota: Usage, tenant_id: uuid.UUID, *, more: int = 0) -> Usage:
    """Return `quota` with the number of rows that there are now. Counting ends at `more` rows beyond the quota."""
    at_most = quota.most + more
    used = _rows(quota.kind)(tenant_id)[:at_most].count() if at_most else 0
    return Usage(quota.kind, used, quota.most, quota.is_own)


@cache
def _rows(kind: Quota) -> Callable[[uuid.UUID], QuerySet[Any]]:
    found: Callable[[uuid.UUID], QuerySet[Any]] = import_string(settings.THREADA_QUOTA_ROWS[kind])
    return found
