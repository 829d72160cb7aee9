"""The operating system account of the server, and operations performed as that account.

PostgreSQL refuses to run as root. Files inside a directory of the account are written *as* the account, so that root
never follows a link that the account created.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from threada_site.postgres.errors import OWN_DATABASE, AccountMissing, DirectoryNotOurs, FileNotWritten

SERVICE_ACCOUNTS = ("threada", "postgres", "nobody")
"""Accounts tried in this order when root runs Threada; none is created. An operator may create `threada` for this
purpose."""


class Identity(TypedDict, total=False):
    """Keywords of `subprocess` that change to the account. Empty if the caller is the account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """The owner of the cluster's files and processes."""

    name: str
    uid: int
    gid: int

    @property
    def is_caller(self) -> bool:
        return self.uid == os.geteuid()

    @property
    def identity(self) -> Identity:
        return {} if self.is_caller else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, script: str, *arguments: Path) -> bool:
        """Return True if a line of shell succeeds as the account. Trying it is more reliable than reading mode bits and
        ACLs."""
        try:
            return self._shell(script, *arguments).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def can_enter(self, directory: Path) -> bool:
        return self.can('cd "$1"', directory)

    def write(self, path: Path, content: str) -> None:
        """Replace a file of the account atomically, readable only by the account. Raise `FileNotWritten`."""
        done = self._shell('umask 077; cat >"$1.new" && mv -f "$1.new" "$1"', path, content=content)
        if done.returncode:
            reason = (
                done.stderr.decode(errors="replace").strip().rpartition(": ")[2] or f"exit status {done.returncode}"
            )
            raise FileNotWritten(f"{path} cannot be written: {reason}. Free space on this disk, or make it writable.")

    def own(self, directory: Path) -> None:
        """Give the account a directory that the caller has just created."""
        if not self.is_caller:
            os.chown(directory, self.uid, self.gid, follow_symlinks=False)

    def _shell(self, script: str, *arguments: Path, content: str = "") -> subprocess.CompletedProcess[bytes]:
        command = ["/bin/sh", "-c", script, "sh", *map(str, arguments)]
        return subprocess.run(
            command,
            input=content.encode(),
            capture_output=True,
            check=False,
            cwd="/",
            env=environment(),
            **self.identity,
        )


def environment() -> dict[str, str]:
    """Return the environment of a server and its helpers.

    It contains no locale (an unknown LC_ALL stops initdb), no PG* settings, and no secrets, which the service account
    could read in /proc.
    """
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "NIX_LD", "NIX_LD_LIBRARY_PATH") if name in os.environ
    }
    return kept | {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def account_for(data_dir: Path | None) -> Account:
    """Return the owner of `data_dir`, or the account for a new cluster if it does not exist.

    Raise DirectoryNotOurs if an ordinary user finds another user's cluster, AccountMissing if no account can own one.
    """
    caller = os.geteuid()
    try:
        owner = data_dir.stat().st_uid if data_dir else None
    except FileNotFoundError:
        owner = None
    if caller != 0:
        if owner not in {None, caller}:
            raise DirectoryNotOurs(
                f"{data_dir} belongs to {_name(owner)}. Run Threada as that user, "
                "or give it a THREADA_DATA_DIR of your own."
            )
        return _account(caller)
    if owner is not None and owner != 0:
        return _account(owner)
    for name in SERVICE_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if owner == 0:
            raise DirectoryNotOurs(
                f"PostgreSQL does not run as root, and {data_dir} belongs to it. "
                f"Hand it over: chown -R {name}: '{data_dir}'"
            )
        return Account(name, entry.pw_uid, entry.pw_gid)
    message = f"PostgreSQL does not run as root, and there is none of the accounts {', '.join(SERVICE_ACCOUNTS)}. "
    raise AccountMissing(f"{message}Create one (useradd --system threada), {OWN_DATABASE}.")


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        message = f"The user id {uid} has no name, and PostgreSQL needs one. Add it to /etc/passwd, {OWN_DATABASE}."
        raise AccountMissing(message) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return f"user id {uid}"
