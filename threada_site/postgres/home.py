"""Location of a cluster: in the data directory or, for root, in a directory that the service account can reach.

A *home* contains `data/` (PostgreSQL's own directory) and `startup.log`. It is `<root>/postgres`, unless root runs
Threada and the service account cannot reach that directory or the binaries. Then it is `/var/lib/threada/<hash of the
root's path>`, with a copy of the binaries if those cannot be reached. A marker file in the root contains its path.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from threada_site.postgres.account import Account
from threada_site.postgres.binaries import locate
from threada_site.postgres.errors import OWN_DATABASE, DataDirectoryMoved, DirectoryNotOurs

SERVICE_HOMES = Path("/var/lib/threada")


def find_home(root: Path) -> Path | None:
    """Return the home that `root` already has, or None. Raise DataDirectoryMoved.

    A starter killed at its first start can leave an empty marker, which counts as none.
    """
    inside, outside = root / "postgres", service_home(root)
    if inside.is_dir():
        return inside
    try:
        recorded = _marker(root).read_text().strip()
    except FileNotFoundError:
        recorded = ""
    if not recorded:
        return outside if os.geteuid() == 0 and outside.is_dir() else None
    if Path(recorded) != outside:
        raise DataDirectoryMoved(
            f"{root} was moved or copied here, and its database is still in {recorded}. To move it too: stop it, "
            f"mv '{recorded}' '{outside}', echo '{outside}' > '{_marker(root)}'. "
            f"To start with an empty one: rm '{_marker(root)}'."
        )
    return outside


def make_home(root: Path, account: Account) -> Path:
    """Create a home for `root`, without changing permissions of existing directories."""
    if account.is_caller:
        home = root / "postgres"
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    if account.can_enter(root) and locate().usable_by(account):
        return _made(root / "postgres")
    _made(SERVICE_HOMES)
    home = _made(service_home(root))
    _marker(root).write_text(f"{home}\n")
    return home


def check_reachable(home: Path, account: Account) -> None:
    """Raise DirectoryNotOurs if the account cannot enter `home`, for example because a parent was closed after the
    first start."""
    if not account.is_caller and not account.can_enter(home):
        message = f"The account {account.name}, which owns the database in {home}, can no longer enter it"
        raise DirectoryNotOurs(f"{message}: it must not enter a parent directory. Grant it access, {OWN_DATABASE}.")


def service_home(root: Path) -> Path:
    return SERVICE_HOMES / digest(root)


def digest(path: Path) -> str:
    """Return a short name for a path, identical in every process."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _made(directory: Path) -> Path:
    """Create the directory if needed and return it. It is owned by root; the account can enter it but not write to
    it."""
    if not directory.is_dir():
        directory.mkdir()
        directory.chmod(0o755)
    elif directory.stat().st_uid != 0:
        raise DirectoryNotOurs(
            f"{directory} does not belong to root. Find out who created it, then remove it or give it to root."
        )
    return directory


def _marker(root: Path) -> Path:
    return root / "postgres.location"
