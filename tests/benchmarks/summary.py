"""Summary endpoint over counts of ten thousand and of a million events, with few and with many combinations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.world import World

FEW: Final = 10_000
MANY: Final = 1_000_000
AIM: Final = 1.5
ROUNDS: Final = 30

# Result of counting so many events: one row per day and combination that occurred.
_COUNT = """
INSERT INTO telemetry_summarycount
       (id, tenant_id, day, workflow, channel, integration, policy_version_id, measure, label, count)
SELECT gen_random_uuid(), %(tenant)s, current_date - (n %% 30)::int, 'workflow_' || n / 30 %% %(kinds)s,
       'channel_' || n / 300 %% 2, CASE WHEN n %% 4 = 0 THEN 'integration_' || n / 30 %% %(kinds)s ELSE '' END,
       md5('version ' || n / CASE WHEN %(kinds)s > 4 THEN 11 ELSE 30 END %% (2 * %(kinds)s))::uuid,
       m.measure, m.label, count(*)
  FROM generate_series(1, %(events)s) AS n
  JOIN (VALUES (0, 'received', ''), (1, 'decided', 'allow'), (2, 'decided', 'deny'), (3, 'execution', 'succeeded'),
               (4, 'execution', 'failed'), (5, 'step', 'approved'), (6, 'decision_time', '40')) AS m (at, measure, label)
    ON m.at = n / 13 %% 7
 GROUP BY 3, 4, 5, 6, 7, 8, 9
"""


def measure(world: World) -> Iterator[Figure]:
    """Measure few kinds of work (4 workflows), then many (20, with 40 policy versions in all combinations)."""
    yield _measured(world, kinds=4)
    yield _measured(world, kinds=20)


def _measured(world: World, *, kinds: int) -> Figure:
    """Return alternating medians of the API's answer, in this process."""
    from django.test import Client

    from tests.factories import make_principal, make_tenant, make_token

    asked = {}
    for events in (FEW, MANY):
        tenant = make_tenant(f"summary-{kinds}-{events}")
        token = make_token(tenant, make_principal(tenant, f"reader-{kinds}-{events}", roles=("auditor",)))
        with psycopg.connect(**world.superuser()) as connection:
            cursor = connection.execute(_COUNT, {"tenant": tenant.id, "events": events, "kinds": kinds})
            asked[events] = (Client(headers={"Authorization": f"Bearer {token}"}), cursor.rowcount)
    with psycopg.connect(**world.superuser(), autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) telemetry_summarycount, telemetry_summaryrollup")
    times: dict[int, list[float]] = {FEW: [], MANY: []}
    for _ in range(ROUNDS):
        for events, (client, _) in asked.items():
            begun = time.perf_counter()
            answer: Any = client.get("/telemetry/summary", {"group_by": "workflow"}, SERVER_NAME="127.0.0.1")
            times[events].append(time.perf_counter() - begun)
            assert answer.status_code == 200, answer.content
    few, many = (statistics.median(times[events]) * 1000 for events in (FEW, MANY))
    return Figure(
        name=f"summary of {MANY:,} events ({asked[MANY][1]:,} rows of counts)",
        value=f"{many:.1f} ms",
        beside=f"of {FEW:,} ({asked[FEW][1]:,} rows) {few:.1f} ms",
        ratio=many / few,
        aim=f"<= {AIM}",
        is_met=many / few <= AIM,
    )
