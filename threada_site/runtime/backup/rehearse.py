"""Verification of a backup: restored into a scratch database, whose receipts and isolation are verified there."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from threada_site.environment import program
from threada_site.runtime.backup.archive import Backup
from threada_site.runtime.backup.contents import CHECKPOINTS
from threada_site.runtime.backup.create import DUMP, records_in
from threada_site.runtime.backup.database import Database, database, restored


class RehearsalFailed(Exception):
    """A command failed on the restored database. The message contains its output."""


def rehearse(backup: Backup, *, migrates: bool, say: Callable[[str], None]) -> None:
    """Restore the database into a scratch database, run `verify_receipts` there, and drop it.

    Receipts are compared with the checkpoints in the backup. Raise `DatabaseProblem` and `RehearsalFailed`.
    """
    name = f"threada_rehearsal_{secrets.token_hex(6)}"
    with (
        tempfile.TemporaryDirectory(prefix="threada-rehearsal-") as folder,
        restored(database(), name, backup.blocks(DUMP), records=records_in(backup)) as scratch,
    ):
        for relative in backup.named(CHECKPOINTS):
            target = Path(folder, relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(backup.read(f"{CHECKPOINTS}/{relative}"))
        if migrates:
            _run(scratch, folder, "upgrade")
        _run(scratch, folder, "check_tenancy")
        say(_run(scratch, folder, "verify_receipts"))


def _run(scratch: Database, checkpoints: str, *words: str) -> str:
    """Run a command against the scratch database and return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "THREADA_PROCESS"}
    environment |= {
        "THREADA_PLATFORM_DATABASE_URL": scratch.commands_conninfo,
        "THREADA_ANCHOR_DIR": checkpoints,
        "THREADA_REPLICA_DATABASE_URL": "",
        "THREADA_DATA_DIR": str(settings.THREADA_DATA_DIR),
    }
    done = subprocess.run(
        program(*words), check=False, env=environment, cwd=settings.THREADA_BASE_DIR, capture_output=True, text=True
    )
    if done.returncode:
        raise RehearsalFailed(f"manage.py {words[0]} failed on the restored database:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()
