"""The directory of the server's Unix socket. The path is short, because it may have 107 bytes, and closed to other
users.

It is in /tmp, not in XDG_RUNTIME_DIR, which ends with the login session while the server keeps running, nor in TMPDIR,
which may differ between two processes of one checkout.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from threada_site.postgres.account import Account
from threada_site.postgres.errors import DirectoryNotOurs
from threada_site.postgres.home import digest

PORT = 5432  # part of the socket's name; nothing listens on TCP
SOCKET = f".s.PGSQL.{PORT}"


def _directory_of(data_dir: Path, account: Account) -> Path:
    # Predictable on purpose: every process must find it. Owner and mode are checked before use.
    return Path("/tmp") / f"threada-{account.uid}-{digest(data_dir)}"  # noqa: S108


def make_socket_directory(data_dir: Path, account: Account, group: int | None) -> Path:
    """Return the directory for this cluster, with mode 0700 and owned by the account. A `group` may enter it, too.

    Raise DirectoryNotOurs if another user has it.
    """
    directory = _directory_of(data_dir, account)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        directory.chmod(0o700)  # also if the umask removed more
        account.own(directory)
        open_to_group(directory, group)
    check_socket_directory(directory, account.uid)
    return directory


def open_to_group(directory: Path, group: int | None) -> None:
    """Let a group of accounts enter the directory. They cannot change it. Called by root."""
    if group is not None:
        os.chown(directory, -1, group, follow_symlinks=False)
        directory.chmod(0o710)


def check_socket_directory(directory: Path, owner: int) -> None:
    """Raise DirectoryNotOurs or FileNotFoundError: whoever can write to the directory can impersonate the server."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o067:
        message = (
            f"{directory}, the place of the database's socket, is not a directory that only user id {owner} can change"
        )
        raise DirectoryNotOurs(f"{message}. Find out who created it, and remove it.")


def remove_socket_directory(data_dir: Path, account: Account) -> None:
    """Remove what a dead server leaves: socket, lock file and directory. Only under the launcher's lock."""
    directory = _directory_of(data_dir, account)
    with contextlib.suppress(FileNotFoundError):
        check_socket_directory(directory, account.uid)
        for leftover in (SOCKET, f"{SOCKET}.lock"):
            (directory / leftover).unlink(missing_ok=True)
        directory.rmdir()
