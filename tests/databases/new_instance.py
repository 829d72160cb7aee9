"""A new instance with the demo tenant, made once and copied for each test that starts one.

Creating a database, its schema and the demo takes longer than a copy of their files.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings

from tests.databases.template import fingerprint
from threada_site.postgres.home import find_home, service_home

LOG: Final = "up.log"
_MADE: Final = "made"


def copy_new_instance(directory: Path, make: Callable[[Path], None], *, port: int) -> None:
    """Put data directory and log of a new instance into `directory`.

    `make`: makes it in another directory and stops it; called once for all processes of this run.
    """
    originals = settings.THREADA_DATA_DIR.absolute() / "new-instances"
    original = originals / fingerprint()
    with _locked(originals):
        if not (original / _MADE).exists():
            _remove_all(originals)
            original.mkdir(mode=0o700)  # closed like the folders of tests, so that processes have the same accounts
            make(original)
            _without_waiting_for_the_disk(original / "data")
            (original / _MADE).touch()
    _copy(original / "data", directory / "data")
    home, elsewhere = find_home(original / "data"), service_home((original / "data").resolve())
    if home == elsewhere:
        own = service_home((directory / "data").resolve())
        _copy(home, own)
        (directory / "data" / "postgres.location").write_text(f"{own}\n")
    log = (original / LOG).read_text()
    made_at = re.search(r"http://localhost:(\d+)/", log)
    assert made_at is not None, log
    (directory / LOG).write_text(log.replace(f":{made_at[1]}", f":{port}"))


def _remove_all(originals: Path) -> None:
    """Remove what other code made, and what was not finished."""
    for old in originals.iterdir():
        if old.is_dir():
            shutil.rmtree(service_home((old / "data").resolve()), ignore_errors=True)
            shutil.rmtree(old)


def _without_waiting_for_the_disk(data: Path) -> None:
    """Turn fsync off: tests kill processes, and what those wrote survives without it."""
    home = find_home(data)
    assert home is not None
    with (home / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("fsync = off\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with owners and modes."""
    subprocess.run(["cp", "--archive", "--no-target-directory", source, target], check=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
