"""`uv run python -m tests.benchmarks [NAME …]` runs all measurements, or the named ones, and prints one table."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks.figures import Figure, table
from tests.benchmarks.measurements import LONG, NAMES, Options, measured
from threada_site import postgres


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="threada-benchmarks-") as temporary:
        options = Options(Path(temporary), arguments.port, arguments.rounds, arguments.seconds)
        options.root.chmod(0o755)  # as root, PostgreSQL runs under another account, which needs access
        figures: list[Figure] = []
        spawn = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
                for name in arguments.names or NAMES:
                    print(f"{name}:", flush=True)
                    figures += processes.submit(measured, name, options).result()
        finally:
            for world in (
                "intake",
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
            ):
                postgres.stop(options.root / world)
            print("", table(figures), sep="\n", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of these unless said; {', '.join(LONG)}"
    )
    parser.add_argument("--port", type=int, default=8100, help="this port and the next are used (8100)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of intake, each of both servers (7)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round (4)")
    return parser.parse_args()


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main()
