"""Cost of signatures of receipts: creates and settled sets with and without them, in turn, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from tests.benchmarks.figures import Figure

if TYPE_CHECKING:
    from threada_site.kernel.context import ActingContext

ROUNDS: Final = 30
EACH: Final = 20
AIM: Final = 1.02


def measure() -> Iterator[Figure]:
    """Measure processor time of this process per create, and per receipt of a set of 32."""
    from telemetry.receipts.format import Entry
    from telemetry.receipts.record import record
    from tests.factories import acting_system
    from tests.workitems.office import open_office
    from threada_site.database.batched_writes import batched_writes
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import Tenant

    office = open_office(Tenant.objects.get())
    ctx: ActingContext = acting_system(office.tenant)

    def create() -> None:
        for _ in range(EACH):
            office.create(5)

    def write_set() -> None:
        with unit_of_work(office.tenant.id), batched_writes(as_sets=True):
            for number in range(32):
                record(Entry(kind="thing.noted", inputs={"number": number}), ctx=ctx)

    for name, run, count in (("create", create, EACH), ("receipt of a set of 32", write_set, 32)):
        run()
        used: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(ROUNDS):
            for signs in (True, False):
                with _signing(signs=signs):
                    before = time.process_time()
                    run()
                    used[signs].append((time.process_time() - before) / count)
        signed, bare = statistics.median(used[True]), statistics.median(used[False])
        yield Figure(
            name=f"signatures, processor time per {name}",
            value=f"{signed * 1e6:.0f} µs",
            beside=f"unsigned {bare * 1e6:.0f} µs",
            ratio=signed / bare,
            aim=f"<= {AIM}",
            is_met=signed / bare <= AIM,
        )


@contextmanager
def _signing(*, signs: bool) -> Iterator[None]:
    if signs:
        yield
        return

    def leave(_self: Any, _rows: list[Any]) -> None:
        return

    with patch("telemetry.receipts.signing.SignReceipts.__call__", leave):
        yield
