"""Cost of receipts partitioned by month: statements next to the same on a plain table with the same rows and indexes.

Two connections alternate in both orders, with prepared statements like the product; a ratio is the median over the
rounds.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.history import grow
from tests.benchmarks.world import WORKFLOW, World
from threada_site.kernel import clock, ids

ROWS: Final = 400_000
ROUNDS: Final = 400
AIM: Final = 1.2
TABLE: Final = "telemetry_receipt"
ONE: Final = "SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND id = %(receipt)s"
RECENT: Final = "AND id >= %(since)s AND id <= %(until)s"
PAGE: Final = "SELECT * FROM {table} WHERE tenant_id = %(tenant)s {more} ORDER BY id DESC LIMIT 51"

_STATEMENTS: Final = (
    ("receipts, first page", PAGE, ""),
    ("receipts, page nine tenths down", PAGE, "AND id < %(deep)s"),
    ("receipt by id", ONE, ""),
    ("receipts of a work item in two months", PAGE, f"AND work_item_id = %(item)s {RECENT}"),
    ("receipts by workflow in two months", PAGE, f"AND workflow = %(workflow)s {RECENT}"),
    ("receipts by workflow, no window", PAGE, "AND workflow = %(workflow)s"),
)


def measure(world: World) -> Iterator[Figure]:
    """Yield the durations of lists of receipts."""
    grow(world, ROWS)
    with psycopg.connect(**world.superuser(), autocommit=True) as one, psycopg.connect(**world.superuser()) as two:
        two.autocommit = True
        _copy(one)
        values = _values(one, world)
        for name, statement, more in _STATEMENTS:
            texts = [statement.format(table=f"{schema}.{TABLE}", more=more) for schema in ("public", "plain")]
            yield _compared(name, (one, two), texts, values)
        months = one.execute("SELECT count(*) FROM threada_partitions(%s)", [TABLE]).fetchone()
        yield Figure(name="partitions of a table", value=str(months[0] if months else 0))


def _copy(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DROP SCHEMA IF EXISTS plain CASCADE")
    connection.execute("CREATE SCHEMA plain")
    connection.execute(f"CREATE TABLE plain.{TABLE} (LIKE {TABLE} INCLUDING ALL)")
    connection.execute(f"INSERT INTO plain.{TABLE} SELECT * FROM {TABLE} ORDER BY id")
    connection.execute(f"VACUUM (ANALYZE) plain.{TABLE}")
    connection.execute("CHECKPOINT")


def _values(connection: psycopg.Connection[Any], world: World) -> dict[str, Any]:
    """Return the parameters of the statements: the tenant, a workflow, and the id nine tenths down."""
    deep = connection.execute(
        f"SELECT id FROM {TABLE} WHERE tenant_id = %(tenant)s ORDER BY id "
        f"OFFSET (SELECT count(*) / 10 FROM {TABLE} WHERE tenant_id = %(tenant)s) LIMIT 1",
        {"tenant": world.tenant_id},
    ).fetchone()
    recent = connection.execute(
        f"SELECT id, work_item_id FROM {TABLE} WHERE tenant_id = %(tenant)s AND work_item_id IS NOT NULL "
        "AND id >= %(since)s ORDER BY id LIMIT 1",
        {"tenant": world.tenant_id, "since": ids.first_id_at(clock.now() - timedelta(days=40))},
    ).fetchone()
    assert deep is not None
    assert recent is not None
    return {
        "tenant": uuid.UUID(world.tenant_id),
        "workflow": WORKFLOW,
        "deep": deep[0],
        "receipt": recent[0],
        "item": recent[1],
        "since": ids.first_id_at(clock.now() - timedelta(days=50)),
        "until": ids.LAST,
    }


def _compared(
    name: str, connections: tuple[psycopg.Connection[Any], ...], texts: list[str], values: dict[str, Any]
) -> Figure:
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 20):
        for which in (0, 1) if number % 2 else (1, 0):
            begun = time.perf_counter()
            cursor = connections[which].execute(texts[which], values, prepare=True)
            if cursor.description:
                assert cursor.fetchall()
            times[which].append((time.perf_counter() - begun) * 1000)
    by_month, plain = (each[20:] for each in times)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(by_month, plain, strict=True))
    return Figure(
        name=f"{name}, by month",
        value=f"{statistics.median(by_month):.2f} ms",
        beside=f"plain {statistics.median(plain):.2f} ms",
        ratio=ratio,
        aim=f"<= {AIM}",
        is_met=ratio <= AIM,
    )
