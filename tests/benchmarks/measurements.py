"""The measurements by name. Each runs in a process of its own, since Django knows one database for life."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import decisions, effects, exports, intake, lists, memory, replays, sealing, startup, statements
from tests.benchmarks.figures import Figure
from tests.benchmarks.world import make_world

NAMES = ("startup", "memory", "intake", "statements", "decisions", "lists", "exports", "replays", "sealing", "effects")


@dataclass(frozen=True, slots=True)
class Options:
    """`root`: a directory for everything; `port`: this one and the next are used."""

    root: Path
    port: int
    rounds: int
    seconds: float


def measured(name: str, options: Options) -> list[Figure]:
    """The figures of one measurement."""
    return list(_measure(name, options))


def _measure(name: str, options: Options) -> Iterator[Figure]:
    match name:
        case "startup":
            return startup.measure(options.root, port=options.port)
        case "memory":
            return memory.measure(options.root / "memory", port=options.port)
        case "intake" | "sealing":
            world = make_world(options.root / "intake", port=options.port)
            under_load = intake if name == "intake" else sealing
            return under_load.measure(world, rounds=options.rounds, seconds=options.seconds)
        case "statements":
            return statements.measure(make_world(options.root / "intake", port=options.port))
        case "decisions":
            return decisions.measure(make_world(options.root / "intake", port=options.port))
        case "lists":
            return lists.measure(make_world(options.root / "lists", port=options.port))
        case "exports":
            return exports.measure(make_world(options.root / "lists", port=options.port))
        case "replays":
            return replays.measure(make_world(options.root / "intake", port=options.port))
        case "effects":
            return effects.measure(make_world(options.root / "effects", port=options.port))
        case _:
            raise SystemExit(f"There is no measurement {name}. There are {', '.join(NAMES)}.")
