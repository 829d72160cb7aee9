"""The web server with its limits for slow clients next to the same application over granian's WSGI interface."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Orders, Round, run
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import World

PROCESSES = 2
CLIENTS = 8
AIM = 0.85
PLAIN = "tests.benchmarks.web_servers.plain"


def measure(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure both servers in alternating rounds. Yield medians of the rounds."""
    create = Orders(world.port, "POST", "/work-items", world.headers, world.body, seconds, 201)
    alive = Orders(world.port, "GET", "/healthz", {"Accept": "application/json"}, "", seconds, 200)
    with (
        web_server(PRODUCT, port=world.port, processes=PROCESSES),
        web_server(PRODUCT, port=world.port + 1, processes=PROCESSES, module=PLAIN),
    ):
        for name, orders, aim in (("creates", create, AIM), ("healthz", alive, None)):
            plain = replace(orders, port=world.port + 1)
            for warming in (orders, plain):
                run(warming, clients=CLIENTS)
            pairs = [(run(plain, clients=CLIENTS), run(orders, clients=CLIENTS)) for _ in range(rounds)]
            yield _figure(name, pairs, aim)


def _figure(name: str, pairs: list[tuple[Round, Round]], aim: float | None) -> Figure:
    ratios = [ours.per_second / plain.per_second for plain, ours in pairs]
    ratio = statistics.median(ratios)
    ours, plain = (statistics.median(pair[side].per_second for pair in pairs) for side in (1, 0))
    p99 = statistics.median(pair[1].p99 for pair in pairs)
    return Figure(
        name=f"web server, {name}/s (rounds {min(ratios):.2f} to {max(ratios):.2f})",
        value=f"{ours:.0f}/s, p99 {p99:.0f} ms",
        beside=f"plain WSGI interface {plain:.0f}/s",
        ratio=ratio,
        aim="" if aim is None else f">= {aim}",
        is_met=None if aim is None else ratio >= aim,
    )
