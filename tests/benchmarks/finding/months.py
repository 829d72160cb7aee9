"""Cost of receipts partitioned by month: the product's queries next to the same on a plain table with the same rows.

The plain table has the same indexes and row-level security. Both are read by the product's login in one transaction, in
turn and in both orders, with values in the statement as the product sends them. So PostgreSQL plans each statement. What
is compared is processor time, of PostgreSQL and of the client, which hardly depends on other load: medians of ten parts
of 40 queries, with the range of their ratios. Longer windows show the growth with the number of partitions.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.finding.history import grow
from tests.benchmarks.world import WORKFLOW, World
from threada_site.kernel import clock, ids

ROWS: Final = 200_000
DAYS: Final = 750
PARTS: Final = 10
ROUNDS: Final = 40
"""Queries of each table in a part."""
AIM: Final = 1.2
TABLE: Final = "telemetry_receipt"
PAGE: Final = 51


def measure(world: World) -> Iterator[Figure]:
    """Yield the durations of queries of receipts."""
    from django.db import connection as database

    from threada_site.database.unit_of_work import unit_of_work

    grow(world, ROWS, days=DAYS)
    with psycopg.connect(**world.superuser(), autocommit=True) as superuser:
        _copy(superuser)
        months = superuser.execute("SELECT count(*) FROM threada_partitions(%s)", [TABLE]).fetchone()
    with unit_of_work(uuid.UUID(world.tenant_id)), database.cursor() as cursor:
        for name, rows, has_aim in _queries(world):
            yield _compared(cursor, name, rows, has_aim)
    yield Figure(name="partitions of a table", value=str(months[0] if months else 0))


def _copy(connection: psycopg.Connection[Any]) -> None:
    """Copy the receipts into a plain table with the same indexes and row-level security, which the product may read."""
    from threada_site.database.constraints import CURRENT_TENANT
    from threada_site.database.roles import APP

    connection.execute("DROP SCHEMA IF EXISTS plain CASCADE")
    connection.execute("CREATE SCHEMA plain")
    connection.execute(f"CREATE TABLE plain.{TABLE} (LIKE {TABLE} INCLUDING ALL)")
    connection.execute(f"INSERT INTO plain.{TABLE} SELECT * FROM {TABLE} ORDER BY id")
    connection.execute(f"ALTER TABLE plain.{TABLE} ENABLE ROW LEVEL SECURITY")
    connection.execute(f"CREATE POLICY tenant_rows ON plain.{TABLE} USING (tenant_id = {CURRENT_TENANT})")
    connection.execute(f"GRANT USAGE ON SCHEMA plain TO {APP}")
    connection.execute(f"GRANT SELECT ON plain.{TABLE} TO {APP}")
    connection.execute(f"VACUUM (ANALYZE) plain.{TABLE}")
    connection.execute("CHECKPOINT")


def _queries(world: World) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, query set, and whether the target applies: to two months at most."""
    from telemetry import selectors
    from telemetry.receipts.time_windows import window
    from tests.factories import acting_system
    from threada_site.kernel.context import EntryPoint
    from threada_site.tenancy.models import Tenant

    ctx = acting_system(Tenant.objects.get(id=world.tenant_id), EntryPoint.COMMAND)
    now = clock.now()

    def within(days: int, *, before: datetime | None = None) -> Any:
        chosen = window(None, before, now=now, longest=timedelta(days=days))
        return selectors.receipts(ctx).filter(id__gte=chosen.first_id, id__lt=chosen.end_id).order_by("-id")

    deep = ids.first_id_at(now - timedelta(days=25))
    recent = within(40, before=now - timedelta(days=5)).filter(work_item_id__isnull=False)[:1].get()
    yield "receipt by id", selectors.receipts(ctx).filter(id=recent.id).order_by("id")[:1], True
    yield "receipts of a work item", selectors.receipts_of(recent.work_item_id, ctx=ctx).order_by("-id")[:PAGE], True
    yield "receipts in 31 days, first page", within(31)[:PAGE], True
    yield "receipts in 31 days, deep page", within(31).filter(id__lt=deep)[:PAGE], True
    for days, said in ((31, "31 days"), (180, "6 months"), (365, "12 months"), (730, "24 months")):
        yield f"receipts by workflow in {said}", within(days).filter(workflow=WORKFLOW)[:PAGE], days == 31
    for days, said in ((180, "6 months"), (365, "12 months"), (730, "24 months")):
        yield f"receipts in {said}, first page", within(days)[:PAGE], False
    yield (
        "receipts by workflow, no window",
        selectors.receipts(ctx).filter(workflow=WORKFLOW).order_by("-id")[:PAGE],
        False,
    )


def _compared(cursor: Any, name: str, rows: Any, has_aim: bool) -> Figure:
    """Return the duration of a query beside that of the plain table."""
    statement, values = rows.query.sql_with_params()
    read = f'FROM "{TABLE}"'
    assert read in statement, statement
    texts = (statement, statement.replace(read, f'FROM plain."{TABLE}"'))
    _print_plan(cursor, name, statement, values)
    server = _server(cursor)
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(PARTS + 1):
        for which in (0, 1) if number % 2 else (1, 0):
            begun = _processor_ms(server)
            for _ in range(ROUNDS):
                cursor.execute(texts[which], values)
                assert cursor.fetchall()
            spent[which].append((_processor_ms(server) - begun) / ROUNDS)
    by_month, plain = (statistics.median(each[1:]) for each in spent)
    ratio = by_month / plain
    parts = [ours / theirs for ours, theirs in zip(spent[0][1:], spent[1][1:], strict=True)]
    return Figure(
        name=f"{name}, by month (parts {min(parts):.2f} to {max(parts):.2f})",
        value=f"{by_month:.2f} ms",
        beside=f"plain {plain:.2f} ms",
        ratio=ratio,
        aim=f"<= {AIM}" if has_aim else "",
        is_met=ratio <= AIM if has_aim else None,
    )


def _server(cursor: Any) -> Path:
    """Return the file with the processor time of the connection's server process."""
    cursor.execute("SELECT pg_backend_pid()")
    return Path(f"/proc/{cursor.fetchone()[0]}/schedstat")


def _processor_ms(server: Path) -> float:
    """Return the processor time of this process and the server's."""
    return time.process_time() * 1000 + int(server.read_text().split()[0]) / 1e6


def _print_plan(cursor: Any, name: str, statement: str, values: Any) -> None:
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, SUMMARY) {statement}", values)
    lines = [line for (line,) in cursor.fetchall()]
    partitions = sum("on telemetry_receipt_" in line for line in lines)
    rest = [line.strip() for line in lines if "Time:" in line or "Rows Removed" in line or "Buffers" in line][:1]
    times = [line for line in lines if "Time:" in line]
    print(f"    {name}: {partitions} partitions, {', '.join([*rest, *times])}", flush=True)
