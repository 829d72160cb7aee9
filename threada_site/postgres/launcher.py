"""Start, find and stop the server of a data directory. Safe with concurrent processes, and after one of them was
killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from threada_site.postgres.account import account_for
from threada_site.postgres.binaries import binaries_for
from threada_site.postgres.cluster import Cluster
from threada_site.postgres.configuration import log_tail, prune_logs, write_configuration
from threada_site.postgres.creation import SUPERUSER, check_version, create_cluster
from threada_site.postgres.errors import (
    OWN_DATABASE,
    DirectoryNotOurs,
    FileNotWritten,
    LauncherBusy,
    StartFailed,
    StopFailed,
)
from threada_site.postgres.home import check_reachable, find_home, make_home, service_home
from threada_site.postgres.postmaster import (
    end_leftovers,
    is_alive,
    live_postmaster,
    read_postmaster_file,
    wait_until,
)
from threada_site.postgres.server import SECONDS_TO_START, serve, settle
from threada_site.postgres.socket_directory import (
    PORT,
    SOCKET,
    check_socket_directory,
    open_to_group,
    remove_socket_directory,
)

_GROUP_FILE = "postgres.group"
SECONDS_TO_STOP = 60.0
SECONDS_FOR_LOCK = SECONDS_TO_START + SECONDS_TO_STOP


def ensure_running(root: Path, *, on_progress: Callable[[str], None] = lambda _message: None) -> Cluster:
    """Return the server of the data directory `root`: start it if it does not run, create it if there is none.

    Returns in less than a millisecond if it runs. Any number of processes may call this at the same time: one starts
    the server, the others wait. The server keeps running after the caller has ended. `on_progress` is called with a
    sentence before each slow step. Raise EmbeddedPostgresError.
    """
    root = root.resolve()
    with _refusals(root):
        cluster = _attach(root)
        if cluster is not None:
            return cluster
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root):
            return _attach(root) or _start(root, on_progress)


def stop(root: Path) -> None:
    """Stop the server of `root` if it runs. Clients are disconnected, committed data is on disk, and no process or
    socket remains.

    Raise EmbeddedPostgresError.
    """
    root = root.resolve()
    with _refusals(root):
        if find_home(root) is None:
            return
        with _lock(root):
            home = find_home(root)
            if home is None:
                return
            process = live_postmaster(home / "data")
            if process is not None:
                _end(process, home)
            remove_socket_directory(home / "data", account_for(home / "data"))


def status(root: Path) -> Cluster | None:
    """Return the server of `root` if it accepts connections, else None. Starts nothing and does not wait.

    Raise EmbeddedPostgresError.
    """
    root = root.resolve()
    with _refusals(root):
        return _attach(root)


def admit_group(root: Path, group: int) -> None:
    """Let a group of accounts connect to the server of `root`, with passwords, now and after every start.

    Only the superuser still connects without a password, as root or as the account of the server. Called by root, for a
    server that runs. Raise EmbeddedPostgresError.
    """
    root = root.resolve()
    with _refusals(root), _lock(root):
        (root / _GROUP_FILE).write_text(f"{group}\n")
        home = find_home(root)
        process = live_postmaster(home / "data") if home else None
        file = read_postmaster_file(home / "data") if home else None
        if home is None or process is None or file is None:
            return
        write_configuration(home / "data", account_for(home / "data"), for_group=True)
        process.send_signal(signal.SIGHUP)
        socket_dir = Path(file.socket_dir)
        open_to_group(socket_dir, group)
        (socket_dir / SOCKET).chmod(0o777)


def _admitted_group(root: Path) -> int | None:
    try:
        return int((root / _GROUP_FILE).read_text()) if os.geteuid() == 0 else None
    except FileNotFoundError:
        return None


def _attach(root: Path) -> Cluster | None:
    home = find_home(root)
    file = read_postmaster_file(home / "data") if home else None
    if home is None or file is None or file.state != "ready" or live_postmaster(home / "data") is None:
        return None
    data_dir, socket_dir = home / "data", Path(file.socket_dir)
    try:
        check_socket_directory(socket_dir, data_dir.stat().st_uid)
        (socket_dir / SOCKET).lstat()
    except FileNotFoundError:
        return None  # /tmp was cleaned: a server that cannot be reached is started again
    prune_logs(data_dir)
    return Cluster(data_dir=data_dir, socket_dir=socket_dir, port=PORT, pid=file.pid, superuser=SUPERUSER)


def _start(root: Path, on_progress: Callable[[str], None]) -> Cluster:
    """Start the server, if no server accepts connections. The caller holds the lock."""
    home = find_home(root)
    account = account_for(home / "data" if home else None)
    home = home or make_home(root, account)
    check_reachable(home, account)
    data_dir = home / "data"
    if not settle(home, on_progress):
        binaries = binaries_for(account, service_home(root))
        if not data_dir.exists():
            on_progress(f"Creating the database in {home}")
            create_cluster(home, account, binaries)
        check_version(data_dir, binaries)
        end_leftovers(data_dir)
        remove_socket_directory(data_dir, account)
        on_progress("Starting PostgreSQL")
        serve(home, account, binaries, on_progress, group=_admitted_group(root))
    cluster = _attach(root)
    if cluster is None:
        raise StartFailed(f"PostgreSQL was ready and has ended again. Try again. Its log:\n{log_tail(home)}")
    return cluster


def _end(process: psutil.Process, home: Path) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: disconnect clients, write everything, end
    if not wait_until(lambda: not is_alive(process), SECONDS_TO_STOP):
        raise StopFailed(
            f"PostgreSQL (pid {process.pid}) has not ended within {SECONDS_TO_STOP:.0f} s. "
            f"Fix what its log reports, then try again:\n{log_tail(home)}"
        )


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Allow one starter or stopper at a time. The lock is released when its process ends, in whatever way."""
    file = root / "postgres.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.geteuid() == 0:
            owner = root.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)  # root may start the server of a user
        if not wait_until(lambda: _is_locked_by_us(descriptor), SECONDS_FOR_LOCK):
            message = (
                f"Another process has locked {file} for {SECONDS_FOR_LOCK:.0f} s. Find it (lsof), end it, try again"
            )
            raise LauncherBusy(f"{message}.")
        yield
    finally:
        os.close(descriptor)


def _is_locked_by_us(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _refusals(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise DirectoryNotOurs(
            f"{error.filename or root} cannot be read by this user. Run Threada as the user who first ran it here, "
            f"{OWN_DATABASE}, or choose another THREADA_DATA_DIR."
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        said = f"{error.filename or root} cannot be written: {error.strerror}"
        raise FileNotWritten(f"{said}. Free space on this disk, or make it writable.") from error
