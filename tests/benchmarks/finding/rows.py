"""200,000 work items with one receipt each, written by SQL and spread over time."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.benchmarks.world import CHANNEL, WORKFLOW, World

TOTAL = 200_000
DAYS = 30
POLICY_VERSIONS = 20

_PREPARE = """
CREATE TEMPORARY TABLE generated AS
SELECT number, uuidv7(age) AS id, uuidv7(age) AS receipt_id, now() + age AS at,
       CASE WHEN number %% 10 = 0 THEN %(channel)s ELSE 'channel_' || number %% 10 END AS channel,
       CASE WHEN number %% 10 = 1 THEN %(workflow)s ELSE 'workflow_' || number %% 10 END AS workflow,
       (ARRAY['new','refused','in_review','awaiting_approval','ready','resolved','rejected','expired','cancelled',
              'failed'])[1 + number / 7 %% 10] AS status,
       CASE WHEN number %% 5 > 0 THEN md5('version ' || number / 5 %% {versions})::uuid END AS policy_version_id
  FROM generate_series(1, {total}) AS number,
       LATERAL (SELECT interval '{days} days' * (number::float8 / {total} - 1) AS age)
"""
_COPY = """
INSERT INTO {table} ({columns})
SELECT {values} FROM generated g, (SELECT * FROM {table} WHERE {one}) w ORDER BY g.number
"""
_WORK_ITEM = {
    "id": "g.id",
    "workflow": "g.workflow",
    "channel": "g.channel",
    "status": "g.status",
    "policy_version_id": "g.policy_version_id",
    "created_at": "g.at",
    "updated_at": "g.at",
}
_RECEIPT = {
    "id": "g.receipt_id",
    "occurred_at": "g.at",
    "work_item_id": "g.id",
    "workflow": "g.workflow",
    "channel": "g.channel",
    "integration": "CASE WHEN g.number % 4 = 0 THEN 'integration_' || g.number % 10 ELSE '' END",
    "status": "g.status",
    "policy_version_id": "g.policy_version_id",
}


def generate(world: World) -> None:
    """Fill the tenant once. Ids contain times spread over thirty days."""
    names = {"tenant": world.tenant_id, "workflow": WORKFLOW, "channel": CHANNEL}
    with psycopg.connect(**world.superuser()) as connection:
        count = "SELECT count(*) FROM workitems_workitem WHERE tenant_id = %(tenant)s"
        if connection.execute(count, names).fetchone() != (0,):
            return
        _hand_in_one(world)
        connection.execute(_PREPARE.format(total=TOTAL, days=DAYS, versions=POLICY_VERSIONS), names)
        _copy(connection, "workitems_workitem", _WORK_ITEM, one="true")
        _copy(connection, "telemetry_receipt", _RECEIPT, one="kind = 'work_item.created'")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) workitems_workitem, telemetry_receipt")


def generate_receipts(world: World, total: int) -> None:
    """Fill a tenant with `total` receipts, once."""
    names = {"tenant": world.tenant_id, "workflow": WORKFLOW, "channel": CHANNEL}
    with psycopg.connect(**world.superuser()) as connection:
        if connection.execute("SELECT count(*) FROM workitems_workitem").fetchone() != (0,):
            return
        _hand_in_one(world)
        connection.execute(_PREPARE.format(total=total, days=DAYS, versions=POLICY_VERSIONS), names)
        _copy(connection, "telemetry_receipt", _RECEIPT, one="kind = 'work_item.created'")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) telemetry_receipt")


def _copy(connection: psycopg.Connection[Any], table: str, differing: dict[str, str], *, one: str) -> None:
    """Write generated rows as copies of the row `one`, with the `differing` columns."""
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []
    columns = [column.name for column in described]
    connection.execute(
        _COPY.format(
            table=table,
            columns=", ".join(columns),
            values=", ".join(differing.get(column, f"w.{column}") for column in columns),
            one=one,
        )
    )


def _hand_in_one(world: World) -> None:
    """Create the row that is copied, by the API."""
    from django.test import Client

    answer = Client(headers=world.headers, SERVER_NAME="127.0.0.1").post(
        "/work-items", world.body, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content


def a_policy_version(world: World) -> str:
    """Return the public id of one of the policy versions that decided."""
    import uuid

    from threada_site.kernel import ids

    with psycopg.connect(**world.superuser()) as connection:
        row = connection.execute("SELECT md5('version 3')::uuid").fetchone()
    assert row is not None
    return ids.public_id(ids.POLICY_VERSION, uuid.UUID(str(row[0])))
