from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from threada_site.runtime.backup.age import record_backup
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.checks import key_line
from threada_site.runtime.backup.create import create_backup
from threada_site.runtime.backup.database import DatabaseProblem, copy_cluster, database
from threada_site.runtime.backup.progress import BackupProgress
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem, new_recovery_key
from threada_site.runtime.backup.rehearse import RehearsalFailed, rehearse
from threada_site.runtime.backup.scheduled import ScheduleProblem, due_backup, misdated
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = (
        "Write database, keys, signed checkpoints and stored files into one file. Keys are encrypted to the public "
        "recovery key in THREADA_BACKUP_RECOVERY_KEY, and left out without it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="the file to write; an existing one is not replaced")
        parser.add_argument("--verify", action="store_true", help="restore it into a scratch database and verify that")
        parser.add_argument(
            "--scheduled",
            action="store_true",
            help="write into THREADA_BACKUP_DIR if one is due there, and keep the newest",
        )
        parser.add_argument(
            "--base", action="store_true", help="copy the files of the server into a new folder instead (point in time)"
        )
        parser.add_argument(
            "--new-recovery-key",
            action="store_true",
            help="write a new private recovery key to the file instead, and print its public half",
        )

    def run_command(self, **options: Any) -> None:
        if options["scheduled"] == (options["file"] is not None):
            self.misuse("Name a file, or say --scheduled.")
        try:
            if options["scheduled"]:
                self._back_up_if_due(verifies=options["verify"])
            elif options["base"]:
                copy_cluster(database(), options["file"].absolute())
                self.stdout.write(f"{options['file']} is a copy of the server's files.")
            elif options["new_recovery_key"]:
                self._new_recovery_key(options["file"])
            else:
                self._back_up(options["file"].absolute(), verifies=options["verify"])
        except (DatabaseProblem, BackupDamaged, RecoveryKeyProblem, RehearsalFailed, ScheduleProblem) as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"{error.filename or options['file']}: {error.strerror or error}")

    def _back_up_if_due(self, *, verifies: bool) -> None:
        folder: Path | None = settings.THREADA_BACKUP_DIR
        if folder is None:
            self.misuse("Set THREADA_BACKUP_DIR to the folder of scheduled backups.")
        every = timedelta(hours=settings.THREADA_BACKUP_HOURS)
        with due_backup(folder, every=every, keep=settings.THREADA_BACKUP_KEEP) as path:
            if path is None:
                self.stdout.write(f"No backup is due in {folder}.")
            else:
                self._back_up(path, verifies=verifies)
        for name in misdated(folder):
            self.stderr.write(
                f"{folder / name} is dated in the future or at an impossible time. It is neither counted nor removed."
            )

    def _back_up(self, path: Path, *, verifies: bool) -> None:
        with BackupProgress(self.stderr) as progress:
            created = create_backup(path, recovery_key=settings.THREADA_BACKUP_RECOVERY_KEY, watch=progress.step)
            if verifies:
                progress.say("verifying in a scratch database")
                with Backup(path) as backup:
                    rehearse(backup, migrates=False, say=self.stdout.write)
        record_backup(name=path.name, size=created.bytes, has_keys=bool(settings.THREADA_BACKUP_RECOVERY_KEY))
        for sentence in created.left_out:
            self.stderr.write(sentence)
        if line := key_line():
            self.stderr.write(f"Keep this option of restore beside the recovery key: {line}")
        self.stdout.write(f"{created.path}: {created.bytes} bytes")

    def _new_recovery_key(self, path: Path) -> None:
        private, public = new_recovery_key()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{private}\n")
            file.flush()
            os.fsync(file.fileno())
        self.stderr.write(f"Keep {path} away from this machine: it opens the keys of every backup.")
        self.stdout.write(f"THREADA_BACKUP_RECOVERY_KEY={public}")
