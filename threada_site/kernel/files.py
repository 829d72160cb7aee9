"""New files, and their owners and modes when root runs commands and the processes have accounts of their own.

Imports no Django.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file completely or not at all: under another name first, flushed to disk, then renamed.

    The file has mode 0600 and belongs to this user. Raise `FileExistsError` if one of these names is taken, also by a
    link of another user.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Write a directory to disk, so that a new name survives a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner_of(descriptor: int, model: Path) -> None:
    """Give an open file, newly created, the owner and group of `model`, if this process is root and `model` exists.

    Otherwise a file that root replaces could no longer be read by the process that it is for.
    """
    if os.geteuid() == 0 and model.exists():
        found = model.stat()
        os.fchown(descriptor, found.st_uid, found.st_gid)


def is_shared(folder: Path) -> bool:
    """Return True if a group may write to the folder, as `up` arranges for accounts of web and worker."""
    try:
        return bool(folder.stat().st_mode & stat.S_IWGRP)
    except FileNotFoundError:
        return False
