"""The worker's process, started and killed again and again: `python -m tests.adversarial.forked_worker COUNT SECONDS`.

Everything is loaded once, and each life is a fork: so that what is killed is a worker at work, not one that is starting.
Prints a line for each life that has ended: `killed`, or `ended` by itself, as it does without its database. Goes on until
its input is closed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time


def load() -> None:
    """All that a worker needs; no connection is opened, since no fork may share one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    import django

    django.setup()
    from threada_site.jobs.registry import all_tasks

    all_tasks()


def live() -> None:
    """One worker, as `manage.py worker` is."""
    from django.core.management import execute_from_command_line

    os.close(sys.stdin.fileno())
    try:
        execute_from_command_line(["manage.py", "worker"])
    finally:
        sys.stderr.flush()
        os._exit(1)


def keep_alive(count: int, *, kill_every_s: float) -> None:
    """`count` workers at a time. Every `kill_every_s` seconds the one that has lived longest is killed, so that each has
    time to work; one that has ended is followed by another at once."""
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
