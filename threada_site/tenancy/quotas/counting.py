"""Counting of what tenants use, by a job: all kinds for metrics, and the stored bytes in batches.

Stored bytes are contents of cases, documents (`THREADA_STORED_COLUMNS`) and files (`THREADA_STORED_FILES`), as
PostgreSQL stores them: compressed, without indexes, receipts and other rows. A pass reads rows in the order of their
ids. Rows that are added later continue it. After a day a new pass begins, which notices what was removed.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantQuota
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.usage import counted_now, quotas_of

ROWS_AT_ONCE: Final = 20_000
"""Rows of one table that one run reads for one tenant."""
NEW_PASS_AFTER: Final = timedelta(days=1)
_SETTLED: Final = timedelta(minutes=1)
"""Age at which no transaction adds a row with an older id."""


def count_usage(tenant_id: uuid.UUID, *, now: datetime) -> None:
    """Count what a tenant uses, and store it."""
    require_unit_of_work(tenant_id)
    quotas = quotas_of(tenant_id)
    before = TenantQuota.objects.filter(tenant_id=tenant_id, kind=Quota.STORED_BYTES).first()
    stored, progress = _stored_bytes(tenant_id, before, now=now)
    rows = [
        TenantQuota(
            tenant_id=tenant_id,
            kind=kind.value,
            used=stored if kind is Quota.STORED_BYTES else counted_now(quota, tenant_id).used,
            counted_at=now,
            progress=progress if kind is Quota.STORED_BYTES else {},
        )
        for kind, quota in quotas.items()
    ]
    TenantQuota.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "kind"],
        update_fields=["used", "counted_at", "progress"],
    )


def _stored_bytes(tenant_id: uuid.UUID, before: TenantQuota | None, *, now: datetime) -> tuple[int, dict[str, Any]]:
    """Continue the pass, or begin one. Return the stored bytes and the progress."""
    progress = dict(before.progress) if before is not None else {}
    if not progress or (progress["is_whole"] and now - datetime.fromisoformat(progress["since"]) >= NEW_PASS_AFTER):
        progress = {"since": clock.rfc3339(now), "bytes": 0, "after": {}, "is_whole": False}
    end = ids.first_id_at(now - _SETTLED)
    is_whole = True
    after = dict(progress["after"])
    for label, column in settings.THREADA_STORED_COLUMNS.items():
        last, size, count = _batch(label, column, tenant_id, after=after.get(label), end=end)
        progress["bytes"] += size
        after[label] = last or after.get(label)
        is_whole = is_whole and count < ROWS_AT_ONCE
    progress["after"] = after
    progress["is_whole"] = progress["is_whole"] or is_whole
    found = progress["bytes"] + sum(import_string(name)(tenant_id) for name in settings.THREADA_STORED_FILES)
    if not progress["is_whole"] and before is not None:  # until then, what the pass before found
        found = max(found, before.used)
    return found, progress


def _batch(
    label: str, column: str, tenant_id: uuid.UUID, *, after: str | None, end: uuid.UUID
) -> tuple[str | None, int, int]:
    """Return the last id, the bytes and the number of the next rows of a table."""
    table = connection.ops.quote_name(apps.get_model(label)._meta.db_table)
    name = connection.ops.quote_name(column)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (array_agg(id ORDER BY id DESC))[1], coalesce(sum(size), 0), count(*) FROM ("
            f"SELECT id, pg_column_size({name}) AS size FROM {table} "
            f"WHERE tenant_id = %s AND id > %s AND id < %s ORDER BY id LIMIT %s) AS batch",
            [tenant_id, after or uuid.UUID(int=0), end, ROWS_AT_ONCE],
        )
        last, size, count = cursor.fetchone()
    return last and str(last), int(size), count
