"""Bulk history: half a year of work items with receipts, executions and decisions, written by SQL.

Rows are copies of some that were created through the product, with other ids, tenants and filter values. Ids are
UUIDv7 of their time. Only closed cases are numerous; open cases stay at some thousands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.benchmarks.world import BODY, CHANNEL, TENANT, WORKFLOW, World

DAYS: Final = 180
POLICY_VERSIONS: Final = 20
TENANTS: Final = ("globex", "initech")
"""Besides the one that is looked at: a fifth and a tenth of all rows are theirs."""
PENDING: Final = 1000
"""Steps that wait for somebody, whatever the size."""
OWNER: Final = "CASE WHEN number %% 10 = 3 THEN %(third)s WHEN number %% 5 = 1 THEN %(second)s ELSE %(first)s END"
"""SQL of the tenant of a row: `first` is the one that is looked at, the others are those of `TENANTS`."""
TABLES: Final = ("workitems_workitem", "telemetry_receipt", "integrations_execution", "workitems_decisionstep")

_GENERATED: Final = """
CREATE TEMPORARY TABLE generated AS
SELECT number, uuidv7(age) AS id, uuidv7(age) AS receipt_id, uuidv7(age) AS execution_id, uuidv7(age) AS step_id,
       now() + age AS at,
       ({owner})::uuid AS tenant_id,
       CASE WHEN number %% 7 = 0 THEN %(channel)s ELSE 'channel_' || number %% 7 END AS channel,
       CASE WHEN number %% 9 = 1 THEN %(workflow)s ELSE 'workflow_' || number %% 9 END AS workflow,
       (ARRAY['failed','ready','refused','refused','rejected','rejected','rejected','cancelled','expired','resolved',
              'resolved','resolved','resolved','resolved','resolved','resolved','resolved','resolved','resolved',
              'resolved'])[CASE WHEN number / 7 %% 100 < 2 THEN 1 + number / 7 %% 100 ELSE 3 + number / 7 %% 18 END] AS status,
       CASE WHEN number %% 6 > 0 THEN md5('version ' || number / 6 %% {versions})::uuid END AS policy_version_id
  FROM generate_series(1, {count}) AS number,
       LATERAL (SELECT interval '{days} days' * (number::float8 / {count} - 1) AS age)
"""
_ITEM: Final = {
    "id": "g.id", "tenant_id": "g.tenant_id", "workflow": "g.workflow", "channel": "g.channel", "status": "g.status",
    "policy_version_id": "g.policy_version_id", "created_at": "g.at", "updated_at": "g.at",
    "requester_id": "CASE WHEN g.number % 1000 = 7 THEN (SELECT id FROM tenancy_user WHERE username = 'clerk') "
                    "ELSE s.requester_id END",
}  # fmt: skip
_RECEIPT: Final = {
    "id": "g.receipt_id", "tenant_id": "g.tenant_id", "occurred_at": "g.at", "work_item_id": "g.id",
    "workflow": "g.workflow", "channel": "g.channel", "status": "g.status",
    "integration": "CASE WHEN g.number % 10 = 0 THEN 'integration_' || g.number / 10 % 10 ELSE '' END",
    "policy_version_id": "g.policy_version_id",
}  # fmt: skip
_EXECUTION: Final = {
    "id": "g.execution_id", "tenant_id": "g.tenant_id", "work_item_id": "g.id", "workflow": "g.workflow",
    "channel": "g.channel", "status": "CASE WHEN g.number % 500 = 0 THEN 'failed' ELSE 'succeeded' END",
    "policy_version_id": "g.policy_version_id", "created_at": "g.at", "finished_at": "g.at",
    "idempotency_key": "g.execution_id::text",
}  # fmt: skip
_DECIDED: Final = {
    "id": "g.step_id", "tenant_id": "g.tenant_id", "work_item_id": "g.id", "workflow": "g.workflow",
    "execution_id": "g.execution_id", "status": "'approved'", "policy_decision_id": "NULL",
}  # fmt: skip
_OPEN: Final = {"id": "g.id"}
_WAITING: Final = {"id": "uuidv7()", "work_item_id": "g.id"}


@dataclass(frozen=True, slots=True)
class Size:
    """Size on disk, indexes included."""

    items: int
    receipts: int
    bytes_by_table: dict[str, int]


def grow(world: World, total: int, *, days: int = DAYS, owner: str = OWNER) -> float:
    """Bring the number of work items to `total`, spread over `days`. Return the seconds it took."""
    begun = time.perf_counter()
    with psycopg.connect(**world.superuser(), autocommit=True) as connection:
        _make_samples(world, connection)
        have = _count(connection, "workitems_workitem")
        if have < total:
            with _in_bulk(connection, days):
                _write(world, connection, total - have, days, owner)
        for table in TABLES:
            connection.execute(f"VACUUM (ANALYZE) {table}")
        connection.execute("CHECKPOINT")
    return time.perf_counter() - begun


def size_of(world: World) -> Size:
    with psycopg.connect(**world.superuser()) as connection:
        sizes: dict[str, int] = {}
        for table in TABLES:
            query = (
                "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree(%(table)s)"
                if _is_partitioned(connection, table)
                else "SELECT pg_total_relation_size(%(table)s)"
            )
            row = connection.execute(query, {"table": table}).fetchone()
            assert row is not None
            sizes[table] = row[0]
        return Size(_count(connection, "workitems_workitem"), _count(connection, "telemetry_receipt"), sizes)


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _make_samples(world: World, connection: psycopg.Connection[Any]) -> None:
    """Create one item, its receipt, an execution and a pending step through the product."""
    if _count(connection, "workitems_decisionstep"):
        return
    from tests.client import Api
    from tests.factories import make_principal, make_tenant
    from tests.jobs import run_jobs
    from threada_site.tenancy.models import Tenant

    api = Api(world.token)
    api.client.defaults["SERVER_NAME"] = "127.0.0.1"
    item = api.post(
        "/work-items", {"workflow_id": "policy_review", "channel_id": CHANNEL, "payload": {"question": "?"}}
    )
    assert item.status_code == 201, item.content
    action = {"action_id": "request_approval", "integration_id": "int_workflow"}
    asked = api.post("/actions/execute", {"work_item_id": item.json()["work_item_id"], **action})
    assert asked.status_code == 202, asked.content
    assert api.post("/work-items", dict(BODY)).status_code == 201
    run_jobs()
    for slug in TENANTS:
        make_tenant(slug)
    home = Tenant.objects.get(slug=TENANT)
    make_principal(home, "clerk", roles=("requester",))
    make_principal(home, "client", kind="service", roles=("requester",))
    connection.execute("CREATE SCHEMA samples")  # in another schema, because all of `public` belongs to the product
    for table in TABLES:
        connection.execute(f"CREATE TABLE samples.{table} AS SELECT * FROM {table} LIMIT 0")
        connection.execute(f"INSERT INTO samples.{table} SELECT * FROM {table} WHERE {_SAMPLE[table]} LIMIT 1")
    # Half of a receipt's body, so that ten million fit on a small disk.
    connection.execute(
        "UPDATE samples.telemetry_receipt "
        "SET body = convert_to((convert_from(body, 'UTF8')::jsonb - 'evidence' - 'inputs')::text, 'UTF8')"
    )
    connection.execute("CREATE TABLE samples.open AS SELECT * FROM workitems_workitem WHERE workflow = 'policy_review'")
    connection.execute(f"CREATE TEMPORARY TABLE open AS SELECT uuidv7() AS id FROM generate_series(2, {PENDING})")
    _copy(connection, "workitems_workitem", _OPEN, "open g", sample="samples.open")
    _copy(connection, "workitems_decisionstep", _WAITING, "open g")


_SAMPLE: Final = {
    "workitems_workitem": f"workflow = '{WORKFLOW}'",
    "telemetry_receipt": f"kind = 'work_item.created' AND workflow = '{WORKFLOW}'",
    "integrations_execution": "true",
    "workitems_decisionstep": "status = 'pending'",
}


@contextmanager
def _in_bulk(connection: psycopg.Connection[Any], days: int) -> Iterator[None]:
    """Disable fsync, triggers and foreign keys; create indexes without constraints afterwards."""
    fast = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "2GB", "autovacuum": "off"}
    for name, value in fast.items():
        connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
    connection.execute("SET max_parallel_maintenance_workers = 2")
    definitions: list[str] = []
    for table in TABLES:
        _make_months(connection, table, days)
        found = connection.execute(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = %s::regclass AND NOT i.indisunique "
            "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)",
            [table],
        ).fetchall()
        for name, definition in found:
            definitions.append(definition.replace(" ON ONLY ", " ON "))
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    try:
        yield
    finally:
        for definition in definitions:
            connection.execute(definition)
        for name in fast:
            connection.execute(f"ALTER SYSTEM RESET {name}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("RESET session_replication_role")


def _write(world: World, connection: psycopg.Connection[Any], count: int, days: int, owner: str) -> None:
    names = {"channel": CHANNEL, "workflow": WORKFLOW, **_tenants(world, connection)}
    connection.execute("DROP TABLE IF EXISTS generated")
    connection.execute(_GENERATED.format(count=count, days=days, owner=owner, versions=POLICY_VERSIONS), names)
    _copy(connection, "workitems_workitem", _ITEM, "generated g ORDER BY g.number")
    _copy(connection, "telemetry_receipt", _RECEIPT, "generated g ORDER BY g.number")
    _copy(connection, "integrations_execution", _EXECUTION, "generated g WHERE g.number % 10 = 0 ORDER BY g.number")
    _copy(connection, "workitems_decisionstep", _DECIDED, "generated g WHERE g.number % 20 = 0 ORDER BY g.number")
    connection.execute("DROP TABLE generated")


def _tenants(world: World, connection: psycopg.Connection[Any]) -> dict[str, str]:
    found = dict(connection.execute("SELECT slug, id::text FROM tenancy_tenant").fetchall())
    return {"first": world.tenant_id, "second": found[TENANTS[0]], "third": found[TENANTS[1]]}


def _copy(
    connection: psycopg.Connection[Any], table: str, differing: dict[str, str], rows: str, *, sample: str = ""
) -> None:
    """Write one row for each of `rows`: the sample with the `differing` columns. PostgreSQL computes generated columns."""
    columns = [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [table],
        ).fetchall()
    ]
    values = ", ".join(differing.get(column, f's."{column}"') for column in columns)
    named = ", ".join(f'"{column}"' for column in columns)
    connection.execute(f"INSERT INTO {table} ({named}) SELECT {values} FROM {sample or f'samples.{table}'} s, {rows}")  # type: ignore[arg-type]


def _is_partitioned(connection: psycopg.Connection[Any], table: str) -> bool:
    return connection.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", [table]).fetchone() == ("p",)


def _make_months(connection: psycopg.Connection[Any], table: str, days: int) -> None:
    """Create the past months of a partitioned table."""
    if not _is_partitioned(connection, table):
        return
    initial = f"{table}_initial"
    row = connection.execute(
        "SELECT end_id, threada_instant(end_id) FROM threada_partitions(%s) WHERE name = %s", [table, initial]
    ).fetchone()
    first = connection.execute(f"SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - interval '{days + 31} days'")
    start = first.fetchone()
    if row is None or start is None or row[1] <= start[0]:
        return
    with connection.transaction():
        connection.execute("SET LOCAL ROLE threada_owner")
        connection.execute(f"ALTER TABLE {table} DETACH PARTITION {initial}")
        months = connection.execute(
            "SELECT to_char(m, 'YYYY_MM'), threada_first_id(m), threada_first_id(m + interval '1 month') "
            "FROM generate_series(date_trunc('month', %s::timestamp), %s::timestamp - interval '1 month', '1 month') m",
            [start[0], row[1]],
        ).fetchall()
        for suffix, first_id, end_id in months:
            connection.execute("SELECT threada_add_partition(%s, %s, %s, %s)", [table, suffix, first_id, end_id])
        connection.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {initial} FOR VALUES FROM (MINVALUE) TO ('{months[0][1]}')"
        )
