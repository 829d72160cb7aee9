"""The process that serves a data directory: `postmaster.pid`, checked against running processes.

A process id alone proves nothing: after a crash or reboot it may belong to another program or another cluster.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from threada_site.postgres.account import Account

SECONDS_TO_QUIT = 10.0


@dataclass(frozen=True)
class PostmasterFile:
    """Contents of the server's status file. Lines that are not written yet are empty."""

    pid: int
    socket_dir: str
    state: str  # "starting", "ready", "stopping"


def read_postmaster_file(data_dir: Path) -> PostmasterFile | None:
    try:
        lines = (data_dir / "postmaster.pid").read_text(errors="replace").splitlines()
        lines += [""] * (8 - len(lines))
        return PostmasterFile(pid=int(lines[0]), socket_dir=lines[4].strip(), state=lines[7].strip())
    except (FileNotFoundError, ValueError):
        return None


def is_ready(data_dir: Path, pid: int | None = None) -> bool:
    """Return True if the file says that the server is ready and, if `pid` is given, that it is that process."""
    file = read_postmaster_file(data_dir)
    return file is not None and file.state == "ready" and pid in {None, file.pid}


def live_postmaster(data_dir: Path) -> psutil.Process | None:
    """Return the running server of `data_dir`, or None. Another process that has its process id by now does not
    count."""
    file = read_postmaster_file(data_dir)
    if file is None:
        return None
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(file.pid)
        if process.name() == "postgres" and is_alive(process) and _works_in(process, data_dir):
            return process
    return None


def is_alive(process: psutil.Process) -> bool:
    """Return True if the process runs. A zombie does not: where nobody reaps, as in some containers, it would never
    end."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition is true. Return False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def end_leftovers(data_dir: Path) -> None:
    """End processes that still work in `data_dir` after their server or launcher is gone.

    These are backends in a long computation, a server whose data directory was deleted, or an `initdb`. PostgreSQL
    refuses to start while they run. Their committed data is safe.
    """
    leftovers = list(_leftovers(data_dir))
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in leftovers:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        if wait_until(lambda: not any(is_alive(process) for process in leftovers), SECONDS_TO_QUIT):
            return


def release_stale_pid(data_dir: Path, account: Account, launcher_pid: int) -> None:
    """Prevent the `postmaster.pid` of a dead server from blocking the next one, if another program has its process id
    by now.

    The file is not removed: PostgreSQL finds in it the shared memory by which it notices backends of the dead server.
    It treats the process id of its own launcher as stale, so the file gets that.
    """
    file = data_dir / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        first, _, rest = file.read_text(errors="replace").partition("\n")
        if first.strip().removeprefix("-").isdigit():
            account.write(file, f"{launcher_pid}\n{rest}")
        else:
            file.unlink()  # torn by a crash of the machine, after which no process is left


def _works_in(process: psutil.Process, data_dir: Path) -> bool:
    """Return True if the working directory of the process is `data_dir`.

    A server stays in its data directory when that is renamed; a copy in the place of a deleted one is another
    directory. If the working directory cannot be read (root without CAP_SYS_PTRACE, as in containers), the command line
    is compared.
    """
    try:
        directory = Path(f"/proc/{process.pid}/cwd")
        if not directory.parent.exists():
            directory = Path(process.cwd())
        return directory.samefile(data_dir)
    except FileNotFoundError:
        return False
    except (PermissionError, psutil.AccessDenied):
        return _was_started_on(process, data_dir)


def _was_started_on(process: psutil.Process, data_dir: Path) -> bool:
    command = process.cmdline()
    return any(pair == ("-D", str(data_dir)) for pair in pairwise(command))


def _leftovers(data_dir: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"] in {"postgres", "initdb"} and (
                _works_in(process, data_dir) or _was_started_on(process, data_dir)
            ):
                yield process
