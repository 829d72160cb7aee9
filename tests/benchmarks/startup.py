"""Seconds from a fresh clone to a ready instance: clone, environment, `manage.py up` until /readyz returns 200."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure
from tests.benchmarks.instance import running_instance

AIM_S = 180


def measure(directory: Path, *, port: int) -> Iterator[Figure]:
    """Measure `git clone`, then `uv run manage.py up`. uv downloads packages that are not cached."""
    checkout = directory / "checkout"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    begun = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", str(Path.cwd()), str(checkout)], check=True)
    cloned = time.monotonic()
    subprocess.run(["uv", "sync", "--quiet"], check=True, cwd=checkout, env=environment)
    installed = time.monotonic()
    with running_instance(directory / "instance", port=port, checkout=checkout, command=("uv", "run")) as instance:
        total = installed - begun + instance.seconds
        yield Figure(
            name="seconds from fresh clone to ready",
            value=f"{total:.0f} s",
            beside=f"clone {cloned - begun:.1f}, install {installed - cloned:.1f}, `up` {instance.seconds:.1f}",
            aim=f"< {AIM_S} s",
            is_met=total < AIM_S,
        )
