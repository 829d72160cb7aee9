"""Start of a server on an existing cluster. Only under the launcher's lock."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from threada_site.postgres.account import Account, environment
from threada_site.postgres.binaries import Binaries
from threada_site.postgres.configuration import log_tail, prune_logs, write_configuration
from threada_site.postgres.errors import OWN_DATABASE, StartFailed
from threada_site.postgres.postmaster import (
    is_alive,
    is_ready,
    live_postmaster,
    read_postmaster_file,
    release_stale_pid,
    wait_until,
)
from threada_site.postgres.socket_directory import SOCKET, make_socket_directory

SECONDS_TO_START = 300.0  # recovery after a crash replays at most max_wal_size
SECONDS_BEFORE_SAYING_SO = 1.0


def settle(home: Path, on_progress: Callable[[str], None]) -> bool:
    """Wait for a server that a killed launcher was starting or stopping. Return True if a server is ready."""
    data_dir = home / "data"
    if live_postmaster(data_dir) is None:
        return False
    if not is_ready(data_dir):
        on_progress("Waiting for PostgreSQL, which is starting or stopping")
    if not wait_until(lambda: live_postmaster(data_dir) is None or is_ready(data_dir), SECONDS_TO_START):
        raise StartFailed(
            f"PostgreSQL has been starting or stopping for too long. Try again later. Its log:\n{log_tail(home)}"
        )
    file = read_postmaster_file(data_dir)
    return file is not None and is_ready(data_dir) and (Path(file.socket_dir) / SOCKET).exists()


def serve(
    home: Path, account: Account, binaries: Binaries, on_progress: Callable[[str], None], *, group: int | None
) -> None:
    """Start the server and wait until it accepts connections. Raise StartFailed.

    `group`: a group of accounts that may connect, besides root and the account of the server.
    """
    data_dir = home / "data"
    socket_dir = make_socket_directory(data_dir, account, group)
    write_configuration(data_dir, account, for_group=group is not None)
    prune_logs(data_dir)
    command: list[str | Path] = [binaries.postgres, "-D", data_dir, "-k", socket_dir, "-h", ""]
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        release_stale_pid(data_dir, account, launcher_pid=os.getpid())
        server = _spawn(command, home, account)
        if server is not None and _becomes_ready(server, home, on_progress):
            return
        said = log_tail(home)
        old_backends_are_ending = "pre-existing shared memory block" in said
        if not old_backends_are_ending or time.monotonic() > deadline:
            raise StartFailed(f"PostgreSQL did not start in {home}. Fix what its log reports, {OWN_DATABASE}:\n{said}")
        time.sleep(0.1)


def _becomes_ready(server: psutil.Process, home: Path, on_progress: Callable[[str], None]) -> bool:
    """Return False if the server ended instead of becoming ready."""

    def settled() -> bool:
        return is_ready(home / "data", server.pid) or not is_alive(server)

    if not wait_until(settled, SECONDS_BEFORE_SAYING_SO):
        on_progress("PostgreSQL is recovering from a crash")
        if not wait_until(settled, SECONDS_TO_START):
            raise StartFailed(
                f"PostgreSQL (pid {server.pid}) is not ready after {SECONDS_TO_START:.0f} s and keeps starting. "
                f"Try again later. Its log:\n{log_tail(home)}"
            )
    return is_alive(server)


def _spawn(command: list[str | Path], home: Path, account: Account) -> psutil.Process | None:
    """Start the process in a session of its own, so that Ctrl-C does not reach it, and not as a child that must be
    reaped."""
    startup_log = home / "startup.log"
    startup_log.unlink(missing_ok=True)  # it may belong to root after a start by root
    with startup_log.open("wb") as log:
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
            cwd="/",
            env=environment() | {"PG_GRANDPARENT_PID": str(os.getpid())},
            start_new_session=True,
            **account.identity,
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(int(shell.stdout))
    return None
