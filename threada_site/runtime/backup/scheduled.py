"""Scheduled backups: one file per period in a folder, of which the newest are kept.

Files dated in the future, by a clock that was ahead, and those whose names are no time are neither counted nor removed.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from threada_site.kernel import clock

_NAME: Final = re.compile(r"threada-([0-9]{8}T[0-9]{6})Z\.backup")
_UNFINISHED: Final = ".threada-*.backup.*"


class ScheduleProblem(Exception):
    """A scheduled backup is not possible. The message says what to do."""


@contextmanager
def due_backup(folder: Path, *, every: timedelta, keep: int) -> Iterator[Path | None]:
    """Yield the path of a backup that is due now, else None. Afterwards remove all but the newest `keep` backups.

    Nothing is removed if the block fails. One process at a time works in the folder. Raise `ScheduleProblem`.
    """
    if keep < 1:
        raise ScheduleProblem("THREADA_BACKUP_KEEP must be at least 1.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScheduleProblem(f"Another process is writing a backup into {folder}.") from None
        newest = max(_times(folder), default=None)
        if newest is not None and clock.now() - newest < every:
            yield None
            return
        for unfinished in folder.glob(_UNFINISHED):
            unfinished.unlink()
        new = _path(folder, clock.now())
        yield new
        for made_at in sorted(_times(folder))[:-keep]:
            if (path := _path(folder, made_at)) != new:  # the clock may have been set back meanwhile
                path.unlink()
    finally:
        os.close(descriptor)


def misdated(folder: Path) -> list[str]:
    """Return the names of files that look like scheduled backups, but are dated in the future or at no time."""
    names = [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    times = {_path(folder, made_at).name for made_at in _times(folder)}
    return sorted(set(names) - times)


def _path(folder: Path, made_at: datetime) -> Path:
    return folder / f"threada-{made_at:%Y%m%dT%H%M%S}Z.backup"


def _times(folder: Path) -> list[datetime]:
    """Return the times in the names of the backups, without those that have not come yet."""
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    times = (_time(match[1]) for match in found if match)
    return [made_at for made_at in times if made_at is not None and made_at <= clock.now()]


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
