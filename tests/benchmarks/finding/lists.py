"""List pages at 200,000 work items and receipts: a deep page next to the first, and PostgreSQL's plans.

A list is paged by its cursors. Its first page and one nine tenths down are then requested alternately.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from tests.benchmarks.figures import Figure
from tests.benchmarks.finding.rows import DAYS, a_policy_version, generate
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import CHANNEL, WORKFLOW, World

AIM = 1.1
REPEATS = 100
LIMIT = 50
DEPTH = 0.9


def measure(world: World) -> Iterator[Figure]:
    """Measure every documented filter of `/work-items` and `/telemetry/events`."""
    generate(world)
    with web_server(PRODUCT, port=world.port, processes=1):
        connection = Connection(world.port)
        for path in ("/work-items", "/telemetry/events"):
            for name, filters in _filters(world, path):
                yield _compared(world, connection, path, name, filters)


def _filters(world: World, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    half = datetime.now(UTC) - timedelta(days=DAYS / 2)
    instant = half.isoformat(timespec="seconds").replace("+00:00", "Z")
    yield "no filter", {}
    yield "channel_id", {"channel_id": CHANNEL}
    yield "workflow_id", {"workflow_id": WORKFLOW}
    yield "status", {"status": "resolved"}
    yield "policy_version_id", {"policy_version_id": a_policy_version(world)}
    yield "created_after", {"created_after": instant}
    yield "created_before", {"created_before": instant}
    if path == "/telemetry/events":
        yield "integration_id", {"integration_id": "integration_4"}


def _compared(world: World, connection: Connection, path: str, name: str, filters: dict[str, str]) -> Figure:
    cursors: list[str] = []
    page = _page(world, connection, path, filters, limit=200)
    while page["has_more"]:
        cursors.append(page["next_cursor"])
        page = _page(world, connection, path, {**filters, "cursor": page["next_cursor"]}, limit=200)
    deep = {**filters, "cursor": cursors[int(len(cursors) * DEPTH) - 1]}
    firsts: list[float] = []
    deeps: list[float] = []
    for number in range(REPEATS):
        # Both orders are equally frequent: the second request is up to a tenth slower, even for the same page.
        for query, times in ((filters, firsts), (deep, deeps))[:: -1 if number % 2 else 1]:
            times.append(_timed(world, connection, path, query))
    first, last = statistics.median(firsts), statistics.median(deeps)
    ratio = statistics.median(after / before for before, after in zip(firsts, deeps, strict=True))
    shown = [_plan(world, path, query) for query in (filters, deep)]
    print(f"  {path} by {name}, row {int(len(cursors) * DEPTH) * 200:,} of about {len(cursors) * 200:,}:")
    for which, plan in zip(("first", "deep "), shown, strict=True):
        print(f"    {which}  {plan}")
    return Figure(
        name=f"{path} by {name}, deep page",
        value=f"{last:.1f} ms",
        beside=f"first {first:.1f} ms",
        ratio=ratio,
        aim=f"<= {AIM}",
        is_met=ratio <= AIM,
    )


def _timed(world: World, connection: Connection, path: str, query: dict[str, str]) -> float:
    """Return the milliseconds for one page."""
    begun = time.perf_counter()
    page = _page(world, connection, path, query, limit=LIMIT)
    assert len(page["data"]) == LIMIT
    return (time.perf_counter() - begun) * 1000


def _page(world: World, connection: Connection, path: str, query: dict[str, str], *, limit: int) -> dict[str, Any]:
    address = f"{path}?{urlencode({**query, 'limit': str(limit)})}"
    status, body = connection.exchange(request_bytes("GET", address, world.headers, ""))
    assert status == 200, body
    return json.loads(body)


def _plan(world: World, path: str, query: dict[str, str]) -> str:
    """Return the plan of the page's statement. Fail if the page reads or sorts more rows than it shows.

    The ids of the page are found in their order; then its rows are read and sorted.
    """
    from django.db import connection as database
    from django.test import Client

    from threada_site.database.unit_of_work import unit_of_work

    statements: list[tuple[str, Any]] = []

    def noted(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if path.split("/")[1].replace("-", "") in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with database.execute_wrapper(noted):
        answer = Client(headers=world.headers, SERVER_NAME="127.0.0.1").get(path, {**query, "limit": LIMIT})
        assert answer.status_code == 200, answer.content
    [(sql, params)] = statements
    import uuid

    with unit_of_work(uuid.UUID(world.tenant_id)), database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
        (plan,) = cursor.fetchone()
    nodes = list(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    said = " < ".join(_said(node) for node in nodes)
    for node in nodes:
        assert node["Node Type"] != "Seq Scan", said
        assert node["Node Type"] != "Sort" or node["Plans"][0]["Actual Rows"] <= LIMIT + 1, said
        assert node.get("Rows Removed by Filter", 0) <= LIMIT, said
    assert any("Index Name" in node for node in nodes), said
    return said


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        if child.get("Parent Relationship") != "InitPlan" or child["Node Type"] == "Limit":
            yield from _nodes(child)


def _said(node: dict[str, Any]) -> str:
    index = f" on {node['Index Name']} ({node.get('Index Cond', 'no condition')})" if "Index Name" in node else ""
    return f"{node['Node Type']}{index}, {node['Actual Rows']:g} rows, {node['Actual Total Time']:.2f} ms"
