"""Owners and modes of files when root runs commands and the processes have accounts of their own. Imports no Django."""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
