"""Counting of sealed receipts into the summary: each exactly once, in the order of the tenant's log.

The dense log index makes this safe: a receipt that commits late is sealed late and counted late, but never skipped.
Counts and position change in one transaction under the lock of the position; two jobs at once are safe.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection
from django.db.models import Model

from telemetry import selectors
from telemetry.models import LogLeaf, Receipt, SummaryCount, SummaryPosition
from telemetry.summary.measures import Measure, amount, measures
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

BATCH: Final = 2_000
COUNTED_AT_ONCE: Final = 5
"""Maximum number of batches per tenant and run, so that other tenants are served too."""


class _Cell(NamedTuple):
    day: date
    workflow: str
    channel: str
    integration: str
    policy_version_id: uuid.UUID | None
    measure: str
    label: str


def count_sealed(tenant_id: uuid.UUID, *, batch: int = BATCH) -> int:
    """Count the next `batch` leaves of the tenant's log. Return their number."""
    require_unit_of_work(tenant_id)
    SummaryPosition.objects.bulk_create([SummaryPosition(tenant_id=tenant_id)], ignore_conflicts=True)
    position = SummaryPosition.objects.select_for_update().get(tenant_id=tenant_id)
    leaves = selectors.sealed(tenant_id, start=position.counted, limit=batch)
    if not leaves:
        return 0
    receipts = [receipt for receipt in leaves if receipt is not None]
    _add(tenant_id, _cells(receipts))
    position.counted += len(leaves)
    if receipts:
        position.latest_at = receipts[-1].occurred_at
    position.save(update_fields=["counted", "latest_at"])
    return len(leaves)


def tenants_to_count() -> list[uuid.UUID]:
    """Return the tenants whose log has uncounted leaves, the largest backlog first."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT tenant.id FROM {_table(Tenant)} AS tenant "
            f"CROSS JOIN LATERAL (SELECT index FROM {_table(LogLeaf)} AS leaf WHERE leaf.tenant_id = tenant.id "
            f"ORDER BY index DESC LIMIT 1) AS last LEFT JOIN {_table(SummaryPosition)} AS position "
            f"ON position.tenant_id = tenant.id WHERE last.index >= coalesce(position.counted, 0) "
            f"ORDER BY last.index - coalesce(position.counted, 0) DESC"
        )
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def _cells(receipts: Iterable[Receipt]) -> Counter[_Cell]:
    cells: Counter[_Cell] = Counter()
    for receipt in receipts:
        body = bytes(receipt.body)

        def outcome(body: bytes = body) -> dict[str, Any]:
            found = orjson.loads(body).get("outcome")
            return found if isinstance(found, dict) else {}

        for measure, label in measures(receipt.kind, receipt.reason_codes, outcome, receipt.status):
            cells[_cell(receipt, measure, label)] += amount(receipt.kind, outcome)
    return cells


def _cell(receipt: Receipt, measure: Measure, label: str) -> _Cell:
    """Return the cell of a receipt. Questions to people are counted where the receipt of the submission was."""
    if measure is Measure.ASKED and receipt.work_item_id is not None:
        day = ids.instant_of(receipt.work_item_id).astimezone(UTC).date()
        return _Cell(day, receipt.workflow, receipt.channel, "", None, measure.value, label)
    return _Cell(
        receipt.occurred_at.astimezone(UTC).date(),
        receipt.workflow,
        receipt.channel,
        receipt.integration,
        receipt.policy_version_id,
        measure.value,
        label,
    )


def _add(tenant_id: uuid.UUID, cells: Counter[_Cell]) -> None:
    """Add to the stored counts in one statement and in a fixed order."""
    if not cells:
        return
    rows = sorted(cells.items(), key=lambda entry: tuple(map(str, entry[0])))
    columns: list[list[Any]] = [
        [ids.new_uuid() for _ in rows],
        *map(list, zip(*(cell for cell, _ in rows), strict=True)),
    ]
    columns.append([count for _, count in rows])
    names = ("id", *_Cell._fields, "count")
    types = ("uuid", "date", *["text"] * 3, "uuid", *["text"] * 2, "bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_table(SummaryCount)} AS held (tenant_id, {', '.join(names)}) "
            f"SELECT %s, new.* FROM unnest({', '.join(f'%s::{kind}[]' for kind in types)}) AS new "
            f"ON CONFLICT (tenant_id, {', '.join(_Cell._fields)}) DO UPDATE SET count = held.count + excluded.count",
            [tenant_id, *columns],
        )


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
