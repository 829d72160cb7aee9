"""The embedded PostgreSQL on a full disk and on one that is read-only: a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from threada_site import postgres
from threada_site.postgres.account import account_for
from threada_site.postgres.errors import FileNotWritten
from threada_site.postgres.home import find_home

pytestmark = [pytest.mark.adversarial, pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")]


@pytest.fixture
def disk() -> Iterator[Path]:
    """Return the root of a small file system of its own, with a stopped cluster on it.

    The account of the server can reach it, unlike folders of pytest.
    """
    folder = Path(tempfile.mkdtemp(prefix="threada-disk-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        folder.chmod(0o755)
        postgres.ensure_running(folder / "data")
        postgres.stop(folder / "data")
        yield folder
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder], check=False)
        (folder / "fill").unlink(missing_ok=True)
        postgres.stop(folder / "data")
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def command(name: str, root: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.endswith("DATABASE_URL")}
    done = subprocess.run(
        [sys.executable, "manage.py", name],
        env={**environment, "THREADA_DATA_DIR": str(root), "THREADA_LOG_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_commands_name_a_full_disk(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file:
        for size in (1_048_576, 4_096, 1):
            try:
                while file.write(b"0" * size):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017
    home = find_home(disk / "data")
    assert home is not None
    account = account_for(home / "data")
    with pytest.raises(FileNotWritten, match=r"No space left on device\. Free space"):
        account.write(home / "data" / "file", "x" * 100_000)
    command("doctor", disk / "data")
    command("status", disk / "data")


def test_a_read_only_disk_is_named(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(FileNotWritten, match=r"Read-only file system\. Free space"):
        postgres.ensure_running(disk / "data")
    assert "Read-only file system" in command("doctor", disk / "data")
    command("status", disk / "data")
