"""Unprivileged accounts of web, worker and sealer if root runs `up`.

An account is a number without a name, so that none has to be created: five numbers in a row, in systemd's range for
such accounts, chosen by the path of the data directory. The first three are users with a group each, the fourth is the
group of web and worker, the fifth the group of all three. Files of the data directory belong to whom they are for:

| | owner and group | mode |
|---|---|---|
| `keys/` | root, all three | 0710 |
| `keys/*` | root, web and worker | 0640 |
| `keys/promise_key` | sealer, web and worker | 0640 |
| `keys/sealing_key`, `checkpoints/` | sealer | 0600, 0700 |
| `keys/receipt_key_web`, `keys/receipt_key_worker`, `keys/receipt_key_command` | web, worker, root | 0600 |
| `keys/receipt_public_keys` | root, all three | 0640 |
| `exports/`, `attachments/` | worker, web and worker | 2770 |
| `deliveries/`, `archiving/` | worker | 0700 |
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_FIRST: Final = 61_184
_LAST: Final = 65_519
_NUMBERS: Final = 5


@dataclass(frozen=True, slots=True)
class ProcessAccount:
    """User, group and further groups of one process, as `subprocess` takes them."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one data directory. `first` is the lowest of its numbers."""

    first: int

    @property
    def shared(self) -> int:
        """Group of web and worker."""
        return self.first + 3

    @property
    def everybody(self) -> int:
        """Group of all three."""
        return self.first + 4

    @property
    def by_process(self) -> dict[str, ProcessAccount]:
        both, third = (self.shared, self.everybody), (self.everybody,)
        return {
            "web": ProcessAccount(self.first, self.first, both),
            "worker": ProcessAccount(self.first + 1, self.first + 1, both),
            "sealer": ProcessAccount(self.first + 2, self.first + 2, third),
        }


def accounts_of(data_dir: Path) -> Accounts:
    """Return the accounts of a data directory: those that its keys belong to already, otherwise numbers that no account
    and no process has."""
    keys = data_dir / "keys"
    group = keys.stat().st_gid if keys.is_dir() else 0
    if group - 4 >= _FIRST and group <= _LAST:
        return Accounts(group - 4)
    places = (_LAST - _FIRST + 1) // _NUMBERS
    begin = int.from_bytes(hashlib.sha256(os.fsencode(data_dir.resolve())).digest()[:8]) % places
    taken = _taken()
    for step in range(places):
        first = _FIRST + (begin + step) % places * _NUMBERS
        if taken.isdisjoint(range(first, first + _NUMBERS)):
            return Accounts(first)
    raise RuntimeError(f"No account number between {_FIRST} and {_LAST} is free.")


def hand_over(data_dir: Path, accounts: Accounts) -> None:
    """Give the files of the data directory to the accounts that need them. Called by root before every start.

    Folders that belong to an account already are left alone, because that account could put links into them.
    """
    by_process = accounts.by_process
    sealer, worker = by_process["sealer"].user, by_process["worker"].user
    keys = data_dir / "keys"
    for path in _files(keys):
        if path.name.startswith("sealing_key"):
            _set(path, sealer, sealer, 0o600)
        elif path.name.startswith("receipt_key_"):
            account = by_process.get(path.name.removeprefix("receipt_key_"))
            _set(path, account.user if account else 0, account.group if account else 0, 0o600)
        elif path.name == "receipt_public_keys":
            _set(path, 0, accounts.everybody, 0o640)
        elif path.name == "promise_key":
            _set(path, sealer, accounts.shared, 0o640)
        else:
            _set(path, 0, accounts.shared, 0o640)
    _set(keys, 0, accounts.everybody, 0o710)
    _folder(data_dir / "checkpoints", sealer, sealer, 0o700, 0o600)
    for shared in ("exports", "attachments"):
        _folder(data_dir / shared, worker, accounts.shared, 0o2770, 0o640)
    _folder(data_dir / "deliveries", worker, worker, 0o700, 0o600)
    _folder(data_dir / "archiving", worker, worker, 0o700, 0o600)


def _folder(top: Path, user: int, group: int, mode: int, mode_of_files: int) -> None:
    top.mkdir(exist_ok=True)
    if top.lstat().st_uid == user or top.is_symlink():
        return
    for folder, names, files in os.walk(top, topdown=False):
        for name in files:
            _set(Path(folder, name), user, group, mode_of_files)
        for name in names:
            _set(Path(folder, name), user, group, mode)
    _set(top, user, group, mode)


def _set(path: Path, user: int, group: int, mode: int) -> None:
    if not path.is_symlink():
        os.chown(path, user, group, follow_symlinks=False)
        path.chmod(mode)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and not path.is_symlink())


def _taken() -> set[int]:
    named = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    running: set[int] = set()
    for process in psutil.process_iter():
        try:
            running |= {*process.uids(), *process.gids()}
        except psutil.Error:
            continue
    return named | running
