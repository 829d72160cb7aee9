"""Cost of signatures of receipts: creates with and without them, and the receipts of a set, in turn in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any, Final
from unittest.mock import patch

import psutil

from tests.benchmarks.figures import Figure
from tests.benchmarks.intake import loaded
from tests.benchmarks.load import Orders, run
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import TENANT, World
from threada_site import postgres

UNSIGNED: Final = "tests.benchmarks.bare.unsigned:application"
PROCESSES: Final = 2
MEMBERS: Final = 32
SETS: Final = 40
AIM: Final = 0.98


def measure(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Yield creates per second and processor time of web and PostgreSQL per create, and time per member of a set."""
    signed = Orders(world.port, "POST", "/work-items", world.headers, world.body, seconds, 201)
    bare = Orders(world.port + 1, "POST", "/work-items", world.headers, world.body, seconds, 201)
    database = psutil.Process(postgres.ensure_running(world.data_dir).pid)
    with (
        web_server(PRODUCT, port=signed.port, processes=PROCESSES) as signed_web,
        web_server(UNSIGNED, port=bare.port, processes=PROCESSES) as bare_web,
    ):
        for warming in (signed, bare):
            run(warming, clients=8)
        pairs = [(loaded(bare, bare_web, database), loaded(signed, signed_web, database)) for _ in range(rounds)]
    speeds = [ours.per_second / theirs.per_second for (theirs, _), (ours, _) in pairs]
    costs = [theirs / ours for (_, theirs), (_, ours) in pairs]
    for name, ratios, value, beside in (
        (
            "creates/s",
            speeds,
            *(f"{statistics.median(pair[at][0].per_second for pair in pairs):.0f}/s" for at in (1, 0)),
        ),
        ("processor time", costs, *(f"{statistics.median(pair[at][1] for pair in pairs):.2f} ms" for at in (1, 0))),
    ):
        ratio = statistics.median(ratios)
        yield Figure(
            name=f"signed creates, {name} (rounds {min(ratios):.2f} to {max(ratios):.2f})",
            value=value,
            beside=f"unsigned {beside}",
            ratio=ratio,
            aim=f">= {AIM}",
            is_met=ratio >= AIM,
        )
    yield _set_figure()


def _set_figure() -> Figure:
    """Measure the receipts of a set in this process, two for each member as a settlement writes them."""
    from telemetry.receipts.format import Entry
    from telemetry.receipts.record import record
    from tests.factories import acting_system
    from threada_site.database.batched_writes import batched_writes
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import Tenant

    ctx = acting_system(Tenant.objects.get(slug=TENANT))

    def write() -> float:
        before = time.process_time()
        with unit_of_work(ctx.tenant_id), batched_writes(as_sets=True):
            for number in range(2 * MEMBERS):
                record(Entry(kind="thing.noted", inputs={"number": number}), ctx=ctx)
        return (time.process_time() - before) / MEMBERS * 1e6

    def leave(_self: Any, _rows: list[Any]) -> None:
        return

    write()
    signed, bare = [], []
    for _ in range(SETS):
        signed.append(write())
        with patch("telemetry.receipts.signing.SignReceipts.__call__", leave):
            bare.append(write())
    ours, theirs = statistics.median(signed), statistics.median(bare)
    return Figure(
        name=f"signed receipts of a member of a set of {MEMBERS}",
        value=f"{ours:.0f} µs",
        beside=f"unsigned {theirs:.0f} µs",
        ratio=theirs / ours,
    )
