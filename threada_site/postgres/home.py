"""Where a cluster lives: in the data directory, or, for root, in a directory that the service account can reach.

A *home* holds `data/` (PostgreSQL's own directory) and `startup.log`. It is `<root>/postgres`, unless root runs
Threada and the service account cannot reach that place or the binaries: then it is `/var/lib/threada/<hash of the
root's path>`, which also holds a copy of the binaries if they are what is out of reach. A marker in the root tells
where it went.
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
    """The home that `root` already has, by a few look-ups. Raises DataDirectoryMoved."""
    inside, outside = root / "postgres", service_home(root)
    if inside.is_dir():
        return inside
    try:
        recorded = Path(_marker(root).read_text().strip())
    except FileNotFoundError:
        return outside if os.geteuid() == 0 and outside.is_dir() else None
    if recorded != outside:
        raise DataDirectoryMoved(
            f"{root} was moved or copied here, and its database is still in {recorded}. To take it along: stop it, "
            f"mv '{recorded}' '{outside}', echo '{outside}' > '{_marker(root)}'. "
            f"To begin with an empty one: rm '{_marker(root)}'."
        )
    return recorded


def make_home(root: Path, account: Account) -> Path:
    """A new home for `root`, with no permission of an existing directory changed."""
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
    """Raises DirectoryNotOurs where the account cannot enter `home`, as when a parent was closed after the first
    start.
    """
    if not account.is_caller and not account.can_enter(home):
        message = f"The account {account.name}, which owns the database in {home}, cannot enter it any more"
        raise DirectoryNotOurs(f"{message}: a directory above is closed to it. Let it pass there, {OWN_DATABASE}.")


def service_home(root: Path) -> Path:
    return SERVICE_HOMES / digest(root)


def digest(path: Path) -> str:
    """A short name for a path: the same for every process, another for every path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _made(directory: Path) -> Path:
    """Made if need be, and owned by root; entered by the account, whatever the umask, but not writable for it."""
    if not directory.is_dir():
        directory.mkdir()
        directory.chmod(0o755)
    elif directory.stat().st_uid != 0:
        raise DirectoryNotOurs(
            f"{directory} does not belong to root. Find out who made it, and remove it or give it to root."
        )
    return directory


def _marker(root: Path) -> Path:
    return root / "postgres.location"
