"""Cost of one list page, create, export and console page from 10,000 work items to ten million.

One instance is filled from size to size; the measured tenant has seven tenths of the rows. Times are the fastest
tenth, because other load only adds to them, with the median; ratios are to the smallest size. `/me`, which reads no
list, shows the variation of the conditions. A page is flat if the number of blocks that its statements read is
constant; otherwise a plan is printed. Lists of own cases are compared with the lists of the tenant: those of a principal
with nearly all work items, and of one with a thousandth.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlencode

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.finding.history import grow, size_of
from tests.benchmarks.finding.plans import asked_statements, print_plan
from tests.benchmarks.finding.rows import a_policy_version
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import TENANT, WORKFLOW, World

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
REPEATS: Final = 60
WARMING: Final = 5
CREATES: Final = 200
EXPORTED: Final = 200_000
EXPORTS: Final = 3
FLAT: Final = 1.5
FEW: Final = 120
"""Blocks: about two for each row of a page, however far apart they lie. Where rows are few, pages are not even full."""
DEPTH: Final = 0.9
CONTROL: Final = "/me, for comparison"
OWN: Final = 1.2
_PERSON: Final = "scale-admin"
_clerk: Final[list[str]] = []


def measure(world: World) -> Iterator[Figure]:
    """Measure all sizes in turn; `THREADA_SCALE_SIZES` sets others."""
    sizes = [int(text) for text in os.environ.get("THREADA_SCALE_SIZES", "").replace(",", " ").split()] or list(SIZES)
    baseline: dict[str, float] = {}
    for size in sizes:
        took = grow(world, size)
        yield from _disk(world, size, took)
        with web_server(PRODUCT, port=world.port, processes=1):
            for name, cost, shown in _measured(world, size):
                ratio = cost / baseline.setdefault(name, cost)
                print(f"    {size:,} {name}: {shown}, {ratio:.2f}", flush=True)
                yield Figure(
                    name=f"{size:>10,} {name}",
                    value=shown,
                    beside=f"at {sizes[0]:,}",
                    ratio=ratio,
                )
            yield from _own_at(world, size)
        yield from _checked_at(world, size, baseline, sizes[0])
        print(f"  {size:,}: load average {os.getloadavg()[0]:.1f}", flush=True)


def _checked_at(world: World, size: int, baseline: dict[str, float], first: int) -> Iterator[Figure]:
    """Yield the blocks read by the statements of each page, which do not depend on other load."""
    for name, path in _pages(world).items():
        asked = asked_statements(world.tenant_id, path, _headers(world, path))
        blocks = sum(each.blocks for each in asked)
        ratio = blocks / baseline.setdefault(f"{name}, blocks", blocks)
        print(f"    {size:,} {name}: {blocks} blocks, {ratio:.2f}", flush=True)
        yield Figure(
            name=f"{size:>10,} {name}, blocks looked at",
            value=str(blocks),
            beside=f"at {first:,}",
            ratio=ratio,
            aim=f"<= {FLAT}, or {FEW} blocks",
            is_met=ratio <= FLAT or blocks <= FEW,
        )
        if ratio > FLAT and blocks > FEW:
            print_plan(asked, f"not flat at {size:,}: {name}")


def _own_at(world: World, size: int) -> Iterator[Figure]:
    """Yield the cost of lists of own cases beside that of the same lists of the tenant, measured in turn."""
    connection = Connection(world.port)
    deep = _id_at(world, DEPTH)
    lists = {
        "work items": "/work-items",
        "work items, deep": _deep("/work-items", {}, deep, world),
        "failed ones": "/work-items?status=failed",
        "executions": "/executions",
        "steps": "/decision-steps",
    }
    for name, path in lists.items():
        wide, _ = _timed(connection, request_bytes("GET", path, world.headers, ""))
        for owner, headers in _own_headers(world).items():
            cost, shown = _timed(connection, request_bytes("GET", path, headers, ""))
            blocks = sum(each.blocks for each in asked_statements(world.tenant_id, path, headers))
            print(f"    {size:,} own {name} of {owner}: {shown}, {cost / wide:.2f}, {blocks} blocks", flush=True)
            yield Figure(
                name=f"{size:>10,} own {name}, {owner}",
                value=f"{shown}, {blocks} blocks",
                beside="of the tenant",
                ratio=cost / wide,
                aim=f"<= {OWN}",
                is_met=cost / wide <= OWN,
            )


def _own_headers(world: World) -> dict[str, dict[str, str]]:
    """Return the headers of two requesters by the share of the work items that are theirs."""
    from tests.factories import make_token
    from threada_site.tenancy.models import Tenant, User

    if not _clerk:
        _clerk.append(make_token(Tenant.objects.get(slug=TENANT), User.objects.get(username="clerk")))
    return {
        "nearly all": {**world.headers, "Threada-Role": "requester"},
        "a thousandth": {**world.headers, "Authorization": f"Bearer {_clerk[0]}"},
    }


def _disk(world: World, size: int, took: float) -> Iterator[Figure]:
    on_disk = size_of(world)
    for table, count in on_disk.bytes_by_table.items():
        print(f"    {table}: {count / 1e6:,.0f} MB", flush=True)
    total = sum(on_disk.bytes_by_table.values())
    yield Figure(
        name=f"{size:>10,} on disk (a receipt each, an execution per 10)",
        value=f"{total / 1e9:.2f} GB",
        beside=f"generated in {took:.0f} s",
    )


def _measured(world: World, size: int) -> Iterator[tuple[str, float, str]]:
    """Yield name, cost, and cost as text."""
    connection = Connection(world.port)
    for name, path in {CONTROL: "/me", **_pages(world)}.items():
        yield name, *_timed(connection, request_bytes("GET", path, _headers(world, path), ""))
    create = request_bytes("POST", "/work-items", world.headers, world.body)
    yield "create a work item", *_timed(connection, create, expected=201, repeats=CREATES)
    speed = max(_export(min(size, EXPORTED)) for _ in range(EXPORTS))
    yield "export, NDJSON", 1 / speed, f"{speed:,.0f} rows/s"


_PAGES: Final = (
    "list, first page", "list, deep page", "list of failed ones", "list of failed ones, deep", "list by policy version",
    "events, first page", "events by workflow", "console: dashboard", "console: queue", "console: queue, deep",
    "console: queue of one workflow", "console: desk", "console: receipts", "console: executions",
)  # fmt: skip


def _pages(world: World) -> dict[str, str]:
    """Return addresses by name. Deep pages begin nine tenths down."""
    deep = _id_at(world, DEPTH)
    older = urlencode({"older": str(deep)})
    paths = [
        "/work-items",
        _deep("/work-items", {}, deep, world),
        "/work-items?status=failed",
        _deep("/work-items", {"status": "failed"}, deep, world),
        f"/work-items?policy_version_id={a_policy_version(world)}",
        "/telemetry/events",
        f"/telemetry/events?workflow_id={WORKFLOW}",
        "/console/",
        "/console/workitems/workitem/",
        f"/console/workitems/workitem/?{older}",
        f"/console/workitems/workitem/?workflow_id={WORKFLOW}",
        "/console/workitems/decisionstep/desk/",
        "/console/telemetry/receipt/",
        "/console/integrations/execution/",
    ]
    return dict(zip(_PAGES, paths, strict=True))


def _deep(path: str, filters: dict[str, str], last_id: uuid.UUID, world: World) -> str:
    """Return the address of the page after `last_id`. Paging there would take hours."""
    from django.http import QueryDict

    from threada_site.api import pagination
    from threada_site.database.keyset import Edge

    asked: Any = SimpleNamespace(
        query_params=QueryDict(urlencode(filters)),
        path=path,
        auth=SimpleNamespace(tenant_id=uuid.UUID(world.tenant_id)),
    )
    cursor = pagination._sealed(Edge(last_id), pagination._binding(asked))
    return f"{path}?{urlencode({**filters, 'cursor': cursor})}"


def _id_at(world: World, depth: float) -> uuid.UUID:
    """Return the id at a fraction `depth` of the half year, counted from the newest."""
    from tests.benchmarks.finding.history import DAYS

    with psycopg.connect(**world.superuser()) as connection:
        row = connection.execute(
            "SELECT id FROM workitems_workitem WHERE tenant_id = %s AND id < uuidv7(%s::interval) "
            "ORDER BY id DESC LIMIT 1",
            [world.tenant_id, f"{-DAYS * depth} days"],
        ).fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


def _headers(world: World, path: str) -> dict[str, str]:
    return {"Cookie": _cookie(world)} if path.startswith("/console/") else world.headers


_cookies: dict[str, str] = {}


def _cookie(world: World) -> str:
    """Return the session of an administrator who also decides, with a password alone."""
    if not _cookies:
        with psycopg.connect(**world.superuser(), autocommit=True) as connection:
            connection.execute("UPDATE tenancy_tenant SET require_mfa = false WHERE slug = %s", [TENANT])
        from django.test import Client

        from tests.factories import make_principal
        from threada_site.tenancy.models import Tenant

        person = make_principal(Tenant.objects.get(slug=TENANT), _PERSON, roles=("tenant_admin", "approver"))
        client = Client()
        client.force_login(person)
        _cookies.update({name: morsel.value for name, morsel in client.cookies.items()})
    return "; ".join(f"{name}={value}" for name, value in _cookies.items())


def _timed(connection: Connection, request: bytes, *, expected: int = 200, repeats: int = REPEATS) -> tuple[float, str]:
    """Return the milliseconds of the fastest tenth after some warm-up requests, and a text with the median."""
    times: list[float] = []
    for _ in range(repeats + WARMING):
        begun = time.perf_counter()
        status, body = connection.exchange(request)
        times.append((time.perf_counter() - begun) * 1000)
        assert status == expected, (status, body[:500])
    times = sorted(times[WARMING:])
    fast = times[len(times) // 10]
    return fast, f"{fast:.1f} ms (median {statistics.median(times):.1f})"


def _export(rows: int) -> float:
    """Return rows per second of a stream of the newest receipts."""
    command = [sys.executable, "-m", "tests.benchmarks.export_maker", TENANT, str(rows), "stream"]
    count, seconds, *_ = subprocess.check_output(command, text=True).split()
    return int(count) / float(seconds)
