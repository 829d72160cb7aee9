"""Sealer process that is started and killed repeatedly: `python -m tests.adversarial.forked.sealer KILLS`.

Code is loaded once and each run is a fork. One in five is killed as it starts, one after a whole round, and the others
while they work, however busy the machine is.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any

from telemetry.sealing.sealer import Sealer
from threada_site.runtime.sealer.process import main

LONGEST_LIFE_S = 0.35


def live(rounds: int) -> None:
    """Run the sealer. Write a byte to the descriptor when a round begins and when it has ended."""
    seal = Sealer.round

    def told(sealer: Sealer, **options: Any) -> int:
        os.write(rounds, b"0")
        sealed = seal(sealer, **options)
        os.write(rounds, b"1")
        return sealed

    Sealer.round = told  # type: ignore[method-assign]
    os._exit(main(["--interval", "0.01"]))


def kill_again_and_again(kills: int, *, seed: int) -> None:
    lives = random.Random(seed)
    for number in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            live(writer)
        os.close(writer)
        for _ in range({0: 0, 1: 2}.get(number % 5, 1)):
            os.read(reader, 1)
        time.sleep(lives.uniform(0.02, LONGEST_LIFE_S))
        os.kill(child, signal.SIGKILL)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"a sealer ended by itself with {status}")


if __name__ == "__main__":
    kill_again_and_again(int(sys.argv[1]), seed=2026)
