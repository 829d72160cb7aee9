"""200,000 work items with a receipt each, written by SQL as an hour of their own for every few."""

from __future__ import annotations

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
_WORK_ITEMS = """
INSERT INTO workitems_workitem
       (id, tenant_id, workflow_version_id, workflow, channel, status, payload, payload_sha256, payload_salt,
        confidence, risk_flags, data_class, external_ref, requester_id, submitted_by_id, policy_version_id, version,
        correlation_id, created_at, updated_at)
SELECT g.id, w.tenant_id, w.workflow_version_id, g.workflow, g.channel, g.status, w.payload, w.payload_sha256,
       w.payload_salt, 1, '{}', w.data_class, '', w.requester_id, w.submitted_by_id, g.policy_version_id, 1,
       w.correlation_id, g.at, g.at
  FROM generated g,
       (SELECT * FROM workitems_workitem WHERE tenant_id = %(tenant)s AND workflow = %(workflow)s LIMIT 1) w
 ORDER BY g.number
"""
_RECEIPTS = """
INSERT INTO telemetry_receipt
       (id, tenant_id, kind, occurred_at, actor_id, work_item_id, workflow, channel, integration, status,
        policy_version_id, reason_codes, correlation_id, body, body_sha256)
SELECT g.receipt_id, r.tenant_id, r.kind, g.at, r.actor_id, g.id, g.workflow, g.channel,
       CASE WHEN g.number %% 4 = 0 THEN 'integration_' || g.number %% 10 ELSE '' END, g.status, g.policy_version_id,
       '{}', r.correlation_id, r.body, r.body_sha256
  FROM generated g,
       (SELECT * FROM telemetry_receipt WHERE tenant_id = %(tenant)s AND kind = 'work_item.created' LIMIT 1) r
 ORDER BY g.number
"""


def generate(world: World) -> None:
    """Fill the tenant up, once. Ids carry the time they are for, as if the rows had come in over thirty days."""
    names = {"tenant": world.tenant_id, "workflow": WORKFLOW, "channel": CHANNEL}
    prepare = _PREPARE.format(total=TOTAL, days=DAYS, versions=POLICY_VERSIONS)
    with psycopg.connect(**world.superuser()) as connection:
        count = "SELECT count(*) FROM workitems_workitem WHERE tenant_id = %(tenant)s"
        if connection.execute(count, names).fetchone() != (0,):
            return
        _hand_in_one(world)
        connection.execute(prepare, names)
        connection.execute(_WORK_ITEMS, names)
        connection.execute(_RECEIPTS, names)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) workitems_workitem, telemetry_receipt")


def _hand_in_one(world: World) -> None:
    """Through the API: the row that the generated ones are copies of."""
    from django.test import Client

    answer = Client(headers=world.headers, SERVER_NAME="127.0.0.1").post(
        "/work-items", world.body, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content


def a_policy_version(world: World) -> str:
    """The public id of one of the policy versions that decided."""
    import uuid

    from threada_site.kernel import ids

    with psycopg.connect(**world.superuser()) as connection:
        row = connection.execute("SELECT md5('version 3')::uuid").fetchone()
    assert row is not None
    return ids.public_id(ids.POLICY_VERSION, uuid.UUID(str(row[0])))
