"""Supervisor of the processes of one machine. It loads no Django, because `manage.py up` keeps it in memory.

`up` prepares the instance and then replaces itself with this module. Each process runs in its own process group within
the session of `up`, so that Ctrl-C reaches only the supervisor and everything is stopped in order. A process under an
account of its own gets its own session: otherwise it could type into root's terminal (`TIOCSTI`). If the supervisor is
killed, the kernel asks its processes to stop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from threada_site import postgres
from threada_site.environment import name_process
from threada_site.kernel.parent_death import end_with_parent
from threada_site.runtime.backup.timer import BackupTimer
from threada_site.runtime.processes import SUPERVISOR

SECONDS_TO_END: Final = 15.0
SECONDS_TO_ANSWER: Final = 60.0
RESTART_AFTER_S: Final = 1.0
_STEADY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Processes to run.

    `environments`: for each process, variables to set or to remove (None). `accounts`: user, group and further groups
    of each process; {} if all run under this account. `embedded_root`: data directory of the embedded server, if that
    is used. `stops_database`: True if this `up` started it and so stops it. `drain_s`: seconds for which the web keeps
    serving before it ends. `banner`: printed once the web answers. `lock`: descriptor that holds the lock on the data
    directory. `backup_command`: run every hour, unless it is empty.
    """

    commands: dict[str, list[str]]
    environments: dict[str, dict[str, str | None]]
    accounts: dict[str, dict[str, Any]]
    health_url: str
    banner: str
    ready_file: str
    embedded_root: str | None
    stops_database: bool
    drain_s: float = 0.0
    data_dir: str = ""
    lock: int = -1
    backup_command: tuple[str, ...] = ()


class Supervisor:
    """Starts the processes, reports when they are ready, restarts those that end, and stops them all."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at: dict[str, float] = {}
        self._stop = threading.Event()
        self._backups = BackupTimer(assignment.backup_command, data_dir=assignment.data_dir)

    def run(self) -> int:
        """Run until a signal asks to stop. Return exit status 0 then, and 1 if the web process never became ready."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            for name in self._assignment.commands:
                self._start(name)
            if not self._wait_until_it_answers():
                return 0 if self._stop.is_set() else 1
            print(self._assignment.banner, flush=True)
            Path(self._assignment.ready_file).touch(mode=0o600)
            while not self._stop.wait(0.5):
                self._look_after()
            return 0
        finally:
            self._end()

    def _start(self, name: str) -> None:
        # Two heaps per process: glibc's default of one per thread costs a few megabytes more without benefit.
        environment = {"MALLOC_ARENA_MAX": "2", **os.environ, "THREADA_READY_FILE": self._assignment.ready_file}
        if self._assignment.data_dir:
            environment["THREADA_DATA_DIR"] = self._assignment.data_dir
        changed = {**environment, **self._assignment.environments[name]}
        account = self._assignment.accounts.get(name, {})
        self._processes[name] = subprocess.Popen(
            self._assignment.commands[name],
            stdin=subprocess.DEVNULL,
            process_group=None if account else 0,
            start_new_session=bool(account),
            preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509  (no threads here)
            **account,
            env={variable: value for variable, value in changed.items() if value is not None},
        )
        self._started_at[name] = time.monotonic()

    def _wait_until_it_answers(self) -> bool:
        deadline = time.monotonic() + SECONDS_TO_ANSWER
        while not self._stop.wait(0.1) and time.monotonic() < deadline:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    print(f"{name} ended at once with status {process.returncode}.", file=sys.stderr, flush=True)
                    return False
            try:
                with urllib.request.urlopen(self._assignment.health_url, timeout=2):  # noqa: S310  (http, our own)
                    return True
            except (urllib.error.URLError, OSError):
                continue
        if not self._stop.is_set():
            print(f"The web process did not answer within {SECONDS_TO_ANSWER:g} s.", file=sys.stderr, flush=True)
        return False

    def _look_after(self) -> None:
        self._backups.check()
        if self._assignment.embedded_root is not None:
            try:
                postgres.ensure_running(Path(self._assignment.embedded_root))
            except postgres.EmbeddedPostgresError as error:
                print(f"PostgreSQL: {error}", file=sys.stderr, flush=True)
        for name, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            print(f"{name} ended with status {process.returncode}; it is started again.", file=sys.stderr, flush=True)
            lived = time.monotonic() - self._started_at[name]
            if lived < _STEADY_S and self._stop.wait(RESTART_AFTER_S):
                return
            self._start(name)

    def _end(self) -> None:
        Path(self._assignment.ready_file).unlink(missing_ok=True)
        self._backups.stop()
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + SECONDS_TO_END + self._assignment.drain_s
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._assignment.stops_database and self._assignment.embedded_root is not None:
            postgres.stop(Path(self._assignment.embedded_root))
        print("Threada has stopped.", flush=True)


def take_over(assignment: Assignment) -> None:
    """Replace this process with a supervisor. The banner contains secrets, so the assignment goes through a pipe."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    if assignment.lock >= 0:
        os.set_inheritable(assignment.lock, True)
    os.write(writer, json.dumps(asdict(assignment)).encode())
    os.close(writer)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", SUPERVISOR, assignment.data_dir, str(reader)])  # noqa: S606


def main(descriptor: int) -> int:
    """Read the assignment that `take_over` wrote into the pipe, and run it. The command line also contains the data
    directory, by which others find this process."""
    name_process("up")
    with os.fdopen(descriptor, "rb") as pipe:
        data: dict[str, Any] = json.load(pipe)
    return Supervisor(Assignment(**data)).run()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[2])))
