"""`uv run python -m tests.benchmarks [NAME …]` measures everything, or what is named, and prints one table."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import exports, intake, lists, memory, startup, statements
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.world import make_world
from threada_site import postgres


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="threada-benchmarks-") as temporary:
        root = Path(temporary)
        root.chmod(0o755)  # as root, PostgreSQL runs under another account, which must get in
        figures: list[Figure] = []
        for name, measure in _measurements(root, arguments).items():
            if not arguments.names or name in arguments.names:
                print(f"{name}:", flush=True)
                figures += measure()
        print("", table(figures), sep="\n")
        postgres.stop(root / "world")


def _measurements(root: Path, arguments: argparse.Namespace) -> dict[str, Callable[[], Iterator[Figure]]]:
    """In this order: what measures a small database comes before what fills it. A world is made once."""
    port: int = arguments.port

    def world_of(measure: Callable[..., Iterator[Figure]], **options: object) -> Callable[[], Iterator[Figure]]:
        return lambda: measure(make_world(root / "world", port=port), **options)

    return {
        "startup": lambda: startup.measure(root, port=port),
        "memory": lambda: memory.measure(root / "instance", port=port),
        "intake": world_of(intake.measure, rounds=arguments.rounds, seconds=arguments.seconds),
        "statements": world_of(statements.measure),
        "lists": world_of(lists.measure),
        "exports": world_of(exports.measure),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="startup, memory, intake, statements, lists, exports; all unless said")
    parser.add_argument("--port", type=int, default=8100, help="this port and the next are used (8100)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of intake, each of both servers (7)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round (4)")
    return parser.parse_args()


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main()
