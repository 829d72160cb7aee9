"""Metrics of quotas over all tenants, by kind. Tenants are not labels, so that their number does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.db import connection

from threada_site.kernel.metrics import Metric
from threada_site.tenancy.quotas.kinds import Quota

_SHARES: Final = """
SELECT quota.kind,
       count(*) FILTER (WHERE quota.used >= coalesce(quota.most, default_.most)),
       max(quota.used::float8 / greatest(coalesce(quota.most, default_.most), 1))
  FROM tenancy_tenantquota quota
  JOIN unnest(%s::text[], %s::bigint[]) AS default_ (kind, most) ON default_.kind = quota.kind
 WHERE quota.counted_at IS NOT NULL GROUP BY 1
"""


def quota_metrics() -> Iterator[Metric]:
    """Yield the number of tenants at a quota, and the largest used share, of each kind."""
    defaults = settings.THREADA_QUOTAS
    with connection.cursor() as cursor:
        cursor.execute(_SHARES, [list(defaults), list(defaults.values())])
        found = {kind: (count, share) for kind, count, share in cursor.fetchall()}
    for kind in Quota:
        count, share = found.get(kind.value, (0, 0.0))
        labels = (("quota", kind.value),)
        yield Metric("threada_quota_tenants_at_limit", "Tenants that are at a quota.", count, labels)
        yield Metric("threada_quota_largest_share", "Largest used share of a quota among tenants.", share, labels)
