"""Lists of a tenant that owns 99 % of 1,000,000 work items and receipts beside those of one that owns 1 %.

Half of the smaller tenant's rows are newer than all others, as after an import. Compared are the blocks of 8 KB that
the statements of a page read, in memory or on disk, which do not depend on other load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.finding.history import TENANTS, grow
from tests.benchmarks.finding.plans import Asked, asked_statements, print_plan
from tests.benchmarks.finding.rows import a_policy_version
from tests.benchmarks.world import CHANNEL, WORKFLOW, World

ROWS: Final = 1_000_000
OWNER: Final = f"CASE WHEN number %% 200 = 3 OR number > {ROWS - ROWS // 200} THEN %(second)s ELSE %(first)s END"
AIM: Final = 1.2
FEW: Final = 102
"""Blocks: two for each row that a page reads, however far apart the rows lie."""


def measure(world: World) -> Iterator[Figure]:
    """Compare each list with each of its filters for both tenants."""
    from tests.factories import make_principal, make_token
    from threada_site.tenancy.models import Tenant

    grow(world, ROWS, owner=OWNER)
    small = Tenant.objects.get(slug=TENANTS[0])
    _give_own_rows(world, str(small.id))
    client = make_principal(small, "client", kind="service", roles=("tenant_admin",))
    tenants = {
        world.tenant_id: world.headers,
        str(small.id): {**world.headers, "Authorization": f"Bearer {make_token(small, client)}"},
    }
    for path in _paths(world):
        asked = {tenant_id: _list_statement(tenant_id, path, headers) for tenant_id, headers in tenants.items()}
        large, little = asked.values()
        print(f"    {path}: {large.blocks} and {little.blocks} blocks, {large.rows} and {little.rows} rows", flush=True)
        if large.rows != little.rows:
            continue  # fewer rows cost less
        most, fewest = max(large.blocks, little.blocks), min(large.blocks, little.blocks)
        is_met = most <= AIM * fewest or most - fewest <= FEW
        if not is_met:
            print_plan([large if large.blocks == most else little], path)
        yield Figure(
            name=f"{path.partition('=')[0]} of the tenant with 99 %",
            value=f"{large.blocks} blocks",
            beside=f"1 %: {little.blocks} blocks",
            ratio=large.blocks / little.blocks,
            aim=f"{AIM}, or {FEW} blocks",
            is_met=is_met,
        )


def _list_statement(tenant_id: str, path: str, headers: Mapping[str, str]) -> Asked:
    """Return the statement of a page that reads most."""
    return max(asked_statements(tenant_id, path, headers), key=lambda each: each.blocks)


def _give_own_rows(world: World, tenant_id: str) -> None:
    """Let rows of a tenant refer to workflow versions and envelopes of its own, which their lists join."""
    referring = {
        "policies_workflowversion": ("workflow_version_id", ("workitems_workitem",)),
        "integrations_envelope": ("envelope_id", ("integrations_execution", "workitems_decisionstep")),
    }
    with psycopg.connect(**world.superuser()) as connection:
        connection.execute("SET session_replication_role = replica")
        for target, (column, tables) in referring.items():
            row = connection.execute(f"SELECT id FROM {target} WHERE tenant_id = %s", [tenant_id]).fetchone()
            if row is not None:
                continue
            connection.execute(
                f"INSERT INTO {target} SELECT (jsonb_populate_record(t, jsonb_build_object('tenant_id', %(tenant)s::uuid, "
                f"'id', uuidv7()))).* FROM {target} t WHERE tenant_id <> %(tenant)s::uuid ORDER BY id DESC LIMIT 1",
                {"tenant": tenant_id},
            )
            for table in tables:
                connection.execute(
                    f"UPDATE {table} SET {column} = (SELECT id FROM {target} WHERE tenant_id = %(tenant)s::uuid) "
                    "WHERE tenant_id = %(tenant)s::uuid",
                    {"tenant": tenant_id},
                )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) workitems_workitem, integrations_execution, workitems_decisionstep")


def _paths(world: World) -> Iterator[str]:
    """Yield the addresses of the lists, without and with each filter, of their first and of a later page."""
    version = {"policy_version_id": a_policy_version(world)}
    half = datetime.now(UTC) - timedelta(days=10)
    after, before = ({name: half.isoformat(timespec="seconds")} for name in ("created_after", "created_before"))
    common: list[dict[str, str]] = [{}, {"workflow_id": WORKFLOW}, after, before]
    filters: dict[str, list[dict[str, str]]] = {
        "/work-items": [*common, {"channel_id": CHANNEL}, {"status": "resolved"}, {"status": "failed"}, version],
        "/telemetry/events": [*common, {"channel_id": CHANNEL}, {"status": "resolved"}, {"status": "failed"}, version],
        "/executions": [*common, {"channel_id": CHANNEL}, {"status": "succeeded"}, {"status": "failed"}, version],
        "/decision-steps": [*common, {"status": "approved"}, {"status": "pending"}],
    }
    for path, each in filters.items():
        for chosen in each:
            yield f"{path}?{urlencode(chosen)}"
            if len(chosen) == 1 and before is not chosen and after is not chosen:
                yield f"{path}?{urlencode({**chosen, **before})}"
