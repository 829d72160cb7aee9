"""Measurements by name. Each runs in its own process, because Django uses one database per process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks import (
    decisions,
    effects,
    exports,
    intake,
    memory,
    replays,
    scale,
    sealing,
    signatures,
    startup,
    statements,
    summary,
    workers,
)
from tests.benchmarks.authentication import tokens
from tests.benchmarks.figures import Figure
from tests.benchmarks.finding import lists, months, search, shares
from tests.benchmarks.people import provisioning
from tests.benchmarks.web_servers import comparison, gateway, waits
from tests.benchmarks.world import World, make_world

NAMES = (
    "startup",
    "memory",
    "intake",
    "web",
    "statements",
    "tokens",
    "decisions",
    "lists",
    "exports",
    "provisioning",
    "replays",
    "sealing",
    "signatures",
    "summary",
    "effects",
    "waits",
    "gateway",
)
LONG: Final = ("months", "scale", "search", "shares", "workers")
"""Many minutes: only where they are named."""

_WORLDS: Final = {
    name: name
    for name in (
        "lists",
        "exports",
        "effects",
        "months",
        "provisioning",
        "scale",
        "search",
        "shares",
        "waits",
        "workers",
    )
} | {"gateway": "waits"}
"""Instances that hold rows of their own; the others share one."""
_IN_ROUNDS: Final[dict[str, Callable[..., Iterator[Figure]]]] = {
    "intake": intake.measure,
    "sealing": sealing.measure,
    "signatures": signatures.measure,
    "web": comparison.measure,
    "workers": workers.measure,
}
_AT_ONCE: Final[dict[str, Callable[[World], Iterator[Figure]]]] = {
    "search": search.measure,
    "statements": statements.measure,
    "decisions": decisions.measure,
    "lists": lists.measure,
    "exports": exports.measure,
    "months": months.measure,
    "provisioning": provisioning.measure,
    "replays": replays.measure,
    "summary": summary.measure,
    "tokens": tokens.measure,
    "effects": effects.measure,
    "scale": scale.measure,
    "shares": shares.measure,
    "waits": waits.measure,
    "gateway": gateway.measure,
}


@dataclass(frozen=True, slots=True)
class Options:
    """`root`: directory for all files; `port`: this port and the next one are used."""

    root: Path
    port: int
    rounds: int
    seconds: float


def measured(name: str, options: Options) -> list[Figure]:
    """Return the results of one measurement."""
    return list(_measure(name, options))


def _measure(name: str, options: Options) -> Iterator[Figure]:
    if name not in NAMES + LONG:
        raise SystemExit(f"There is no measurement {name}. There are {', '.join(NAMES + LONG)}.")
    if name == "startup":
        return startup.measure(options.root, port=options.port)
    if name == "memory":
        return memory.measure(options.root / "memory", port=options.port)
    world = make_world(options.root / _WORLDS.get(name, "intake"), port=options.port)
    if name in _IN_ROUNDS:
        return _IN_ROUNDS[name](world, rounds=options.rounds, seconds=options.seconds)
    return _AT_ONCE[name](world)
