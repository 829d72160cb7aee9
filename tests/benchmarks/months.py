"""What tables by month cost: their statements beside the same on plain tables with the same rows and indexes.

Two connections ask in turn, in either order as often, with prepared statements as the product has them; a ratio is the
median over the rounds.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.history import grow
from tests.benchmarks.world import WORKFLOW, World

ROWS: Final = 400_000
ROUNDS: Final = 400
AIM: Final = 1.2
TABLES: Final = ("telemetry_receipt", "integrations_execution")
PAGE: Final = "SELECT * FROM {table} WHERE tenant_id = %(tenant)s {more} ORDER BY id DESC LIMIT 51"

_STATEMENTS: Final = (
    ("receipts, first page", TABLES[0], PAGE, ""),
    ("receipts, page nine tenths down", TABLES[0], PAGE, "AND id < %(deep)s"),
    ("receipts, by workflow", TABLES[0], PAGE, "AND workflow = %(workflow)s"),
    ("executions, first page", TABLES[1], PAGE, ""),
    ("executions, page nine tenths down", TABLES[1], PAGE, "AND id < %(deep)s"),
    ("executions, one by its id", TABLES[1], "SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND id = %(one)s", ""),
    (
        "executions, of a work item",
        TABLES[1],
        "SELECT * FROM {table} WHERE tenant_id = %(tenant)s AND work_item_id = %(item)s ORDER BY id DESC LIMIT 51",
        "",
    ),
    (
        "executions, one changed by its id",
        TABLES[1],
        "UPDATE {table} SET lease_until = now() WHERE id = %(one)s AND tenant_id = %(tenant)s",
        "",
    ),
)


def measure(world: World) -> Iterator[Figure]:
    """Pages and single rows of receipts and executions."""
    grow(world, ROWS)
    with psycopg.connect(**world.superuser(), autocommit=True) as one, psycopg.connect(**world.superuser()) as two:
        two.autocommit = True
        _copy(one)
        values = _values(one, world)
        for name, table, statement, more in _STATEMENTS:
            texts = [statement.format(table=f"{schema}.{table}", more=more) for schema in ("public", "plain")]
            yield _compared(name, (one, two), texts, values)
        months = one.execute("SELECT count(*) FROM threada_partitions(%s)", [TABLES[1]]).fetchone()
        yield Figure(name="partitions of a table", value=str(months[0] if months else 0))


def _copy(connection: psycopg.Connection[Any]) -> None:
    connection.execute("DROP SCHEMA IF EXISTS plain CASCADE")
    connection.execute("CREATE SCHEMA plain")
    for table in TABLES:
        connection.execute(f"CREATE TABLE plain.{table} (LIKE {table} INCLUDING ALL)")
        columns = connection.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            [table],
        ).fetchone()
        assert columns is not None
        connection.execute(f"INSERT INTO plain.{table} ({columns[0]}) SELECT {columns[0]} FROM {table} ORDER BY id")
        connection.execute(f"VACUUM (ANALYZE) plain.{table}")
    connection.execute("CHECKPOINT")


def _values(connection: psycopg.Connection[Any], world: World) -> dict[str, Any]:
    """The middle of what the tenant has, and what lies nine tenths down."""
    query = "SELECT id, work_item_id FROM {} WHERE tenant_id = %s ORDER BY id OFFSET %s LIMIT 1"
    counted = connection.execute(
        "SELECT count(*) FROM integrations_execution WHERE tenant_id = %s", [world.tenant_id]
    ).fetchone()
    assert counted is not None
    middle, early = (
        connection.execute(query.format(TABLES[1]), [world.tenant_id, int(counted[0] * part)]).fetchone()
        for part in (0.5, 0.1)
    )
    assert middle is not None
    assert early is not None
    return {
        "tenant": uuid.UUID(world.tenant_id),
        "workflow": WORKFLOW,
        "one": middle[0],
        "item": middle[1],
        "deep": early[0],
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
