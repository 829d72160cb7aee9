"""Worker process that is started and killed repeatedly: `python -m tests.adversarial.forked.worker COUNT SECONDS`.

Code is loaded once and each run is a fork, so that a working worker is killed, not one that is starting. Prints a line
for each run that ended: `killed`, or `ended` by itself, as without its database. Runs until its input is closed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time


def load() -> None:
    """Load everything a worker needs without opening a connection, which forks must not share."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    import django

    django.setup()
    from threada_site.jobs.registry import all_tasks

    all_tasks()


def live() -> None:
    """Run one worker like `manage.py worker`."""
    from django.core.management import execute_from_command_line

    os.close(sys.stdin.fileno())
    try:
        execute_from_command_line(["manage.py", "worker"])
    finally:
        sys.stderr.flush()
        os._exit(1)


def keep_alive(count: int, *, kill_every_s: float) -> None:
    """Run `count` workers. Kill the oldest every `kill_every_s` seconds, so that each has time to work; replace ended
    ones."""
    living: list[int] = []
    kill_at = time.monotonic() + kill_every_s
    is_over = False
    while not is_over:
        while len(living) < count:
            child = os.fork()
            if child == 0:
                live()
            living.append(child)
        is_over = bool(select.select([sys.stdin], [], [], 0.1)[0])
        struck = living[:] if is_over else living[:1] if time.monotonic() >= kill_at else []
        for child in struck:
            os.kill(child, signal.SIGKILL)
            kill_at = time.monotonic() + kill_every_s
        for child in living[:]:
            ended, status = os.waitpid(child, 0 if child in struck else os.WNOHANG)
            if ended:
                living.remove(child)
                print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    load()
    keep_alive(int(sys.argv[1]), kill_every_s=float(sys.argv[2]))
