"""Sealer process that is started and killed repeatedly: `python -m tests.adversarial.forked.sealer KILLS`.

Code is loaded once and each run is a fork, so that a working sealer is killed, not one that is starting.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from threada_site.runtime.sealer.process import main

LONGEST_LIFE_S = 0.35


def kill_again_and_again(kills: int, *, seed: int) -> None:
    lives = random.Random(seed)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            os._exit(main(["--interval", "0.01"]))
        time.sleep(lives.uniform(0.02, LONGEST_LIFE_S))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"a sealer ended by itself with {status}")


if __name__ == "__main__":
    kill_again_and_again(int(sys.argv[1]), seed=2026)
