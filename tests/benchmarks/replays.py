"""Replay of stored decisions: decisions per second, and memory independent of the history."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.world import CHANNEL, PAYLOAD, TENANT, WORKFLOW, World

POLICY = "measured"
SIZES = (10_000, 100_000)
DIFFERENT = 200
RULES = 20
AIM_GROWTH = 1.1
_ERAS = ("2020-01-01", "2020-03-01")
"""The histories lie apart, each in a month of its own."""

_COPY = """
INSERT INTO policies_policydecision ({columns})
SELECT {values}
  FROM generate_series(1, %(size)s) AS number
  JOIN (SELECT d.*, row_number() OVER (ORDER BY d.id) AS place FROM policies_policydecision d
         WHERE d.tenant_id = %(tenant)s AND d.created_at > now() - interval '1 hour') w
    ON w.place = 1 + number %% (SELECT count(*) FROM policies_policydecision d
         WHERE d.tenant_id = %(tenant)s AND d.created_at > now() - interval '1 hour')
 ORDER BY number
"""


def measure(world: World, *, sizes: tuple[int, int] = SIZES) -> Iterator[Figure]:
    """Replay a history of each size with a draft of 20 rules, in a process of its own."""
    _prepare(world)
    peaks = []
    for size, era in zip(sizes, _ERAS, strict=True):
        _generate(world, size, era)
        told = _replayed(era)
        assert told["replayed"] == size, told
        peaks.append(told["peak_mb"])
        yield Figure(
            name=f"replay of {size:,} decisions, {RULES} rules, {told['flipped']:,} flips",
            value=f"{size / told['seconds']:,.0f}/s",
            beside=f"{told['seconds']:.1f} s, peak {told['peak_mb']:.0f} MB",
        )
    growth = peaks[1] / peaks[0]
    yield Figure(
        name=f"peak memory of a replay, {sizes[1]:,} over {sizes[0]:,} decisions",
        value=f"{peaks[1]:.0f} MB",
        beside=f"{peaks[0]:.0f} MB",
        ratio=growth,
        aim=f"<= {AIM_GROWTH}",
        is_met=growth <= AIM_GROWTH,
    )


def _rules(effect: str) -> list[dict[str, Any]]:
    unlikely = [
        {
            "id": f"rule-{number}",
            "when": f"item.payload.annual_spend_minor > {number}000000000 && item.payload.vendor != 'nobody {number}'",
            "effect": "deny",
            "reason": f"REASON_{number}",
        }
        for number in range(1, RULES - 1)
    ]
    half = {"id": "half", "when": "item.confidence < 0.5", "effect": effect, "reason": "HALF"}
    return [*unlikely, half, {"id": "rest", "when": "true", "effect": "allow", "reason": "REST"}]


def _prepare(world: World) -> None:
    """Create a policy for the workflow, and decisions of all kinds by it."""
    from policies.configuration.overlays import upsert_overlay
    from policies.deciding.decide import decide
    from policies.documents.overlay import OverlayScope
    from policies.drafts.edit import draft_policy_version
    from policies.language.request import DecisionRequest
    from policies.publication.publish import upsert_policy
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel import ids
    from threada_site.tenancy.models import Tenant

    tenant = Tenant.objects.get(slug=TENANT)
    ctx = acting_system(tenant)
    with unit_of_work(uuid.UUID(world.tenant_id)):
        upsert_policy(POLICY, {"rules": _rules("allow")}, ctx=ctx)
        upsert_overlay(POLICY, OverlayScope("workflow", WORKFLOW), ctx=ctx)
        draft_policy_version(POLICY, {"rules": _rules("deny")}, ctx=ctx)
        for number in range(DIFFERENT):
            request = DecisionRequest(
                point="intake",
                work_item_id=ids.new_uuid(),
                workflow=WORKFLOW,
                channel=CHANNEL,
                payload={**PAYLOAD, "vendor": f"Vendor {number}", "note": "x" * 700},
                confidence=number / DIFFERENT,
                requester="pr_benchmark",
                data_class="internal",
                actor="pr_benchmark",
                actor_kind="service",
            )
            decide(request, ctx=ctx)


def _generate(world: World, size: int, era: str) -> None:
    """Copy `size` decisions over the month that begins at `era`, with ids of their time."""
    own = {
        "id": f"uuidv7(timestamptz '{era}' - now() + interval '25 days' * number / {size})",
        "created_at": f"timestamptz '{era}' + interval '25 days' * number / {size}",
    }
    names = {"tenant": world.tenant_id, "size": size}
    with psycopg.connect(**world.superuser()) as connection:
        described = connection.execute("SELECT * FROM policies_policydecision LIMIT 0").description or []
        columns = [column.name for column in described]
        values = [own.get(column, f"w.{column}") for column in columns]
        connection.execute(_COPY.format(columns=", ".join(columns), values=", ".join(values)), names)
    with psycopg.connect(**world.superuser(), autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) policies_policydecision")


def _replayed(era: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.replayer", TENANT, POLICY, era]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
