from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from telemetry.tlog.note import VerifierKey
from telemetry.tlog.texts import MalformedText
from threada_site.environment import program
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.checks import check_signature, check_version, known_keys, opened_keys
from threada_site.runtime.backup.contents import KEYS
from threada_site.runtime.backup.database import DatabaseProblem
from threada_site.runtime.backup.progress import BackupProgress
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem
from threada_site.runtime.backup.rehearse import RehearsalFailed, rehearse
from threada_site.runtime.backup.restore import clients_here, contents_here, restore
from threada_site.tenancy.management.base import ProductCommand

_KEEP, _NEW = "keep", "new"
_QUESTION: Final = (
    "Two instances that seal under one log name contradict each other for every verifier. Keep the log names only if "
    "the instance of this backup is gone and sealed nothing after {made_at}."
)


class Command(ProductCommand):
    help = "Restore a backup of manage.py backup into this instance, or only verify it. Stop everything else first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the backup")
        parser.add_argument("--verify", action="store_true", help="change nothing: verify it in a scratch database")
        parser.add_argument(
            "--recovery-key", type=Path, metavar="FILE", help="private recovery key, for the keys in it"
        )
        parser.add_argument("--without-keys", action="store_true", help="leave the keys of this machine as they are")
        parser.add_argument(
            "--key", action="append", default=[], help="a trusted public sealing key, or @FILE; may be repeated"
        )
        parser.add_argument(
            "--although-unverified", action="store_true", help="accept a file that no known sealing key has signed"
        )
        parser.add_argument("--replace", action="store_true", help="replace what this instance contains")
        parser.add_argument(
            "--log-name", choices=(_KEEP, _NEW), help="seal under the old log names, or let every log get a new one"
        )

    def run_command(self, **options: Any) -> None:
        try:
            with Backup(options["file"]) as backup, BackupProgress(self.stderr) as progress:
                self._restore(backup, progress, options)
        except (DatabaseProblem, BackupDamaged, RecoveryKeyProblem, RehearsalFailed) as error:
            self.refuse(str(error))
        except MalformedText as error:
            self.misuse(f"--key: {error}")
        except OSError as error:
            self.refuse(f"{error.filename or options['file']}: {error.strerror or error}")

    def _restore(self, backup: Backup, progress: BackupProgress, options: dict[str, Any]) -> None:
        migrates = check_version(backup)
        keys = self._keys(backup, options)
        if not options["verify"]:
            self._refuse_unless_ready(replaces=options["replace"])
        progress.say("checking sizes and digests")
        backup.check(progress.step)
        trusted = [VerifierKey.parse(text) for given in options["key"] for text in _texts(given)]
        unverified = options["although_unverified"]
        progress.say(check_signature(backup, given=trusted, keys=keys, although_unverified=unverified))
        if options["verify"]:
            rehearse(backup, migrates=migrates, say=self.stdout.write)
            self.stdout.write(f"The backup of {backup.manifest['made_at']} can be restored.")
            return
        keeps = self._keeps_log_names(backup, options["log_name"])
        restore(backup, keys=keys, keeps_log_names=keeps, say=progress.say)
        self._compare_keys()
        self.stdout.write(f"The backup of {backup.manifest['made_at']} is restored.")

    def _keys(self, backup: Backup, options: dict[str, Any]) -> dict[str, str]:
        if options["recovery_key"]:
            return known_keys(opened_keys(backup, options["recovery_key"].read_text().strip()))
        if KEYS in backup.members and not options["without_keys"] and not options["verify"]:
            self.misuse(
                f"The backup contains keys, encrypted to the recovery key {backup.manifest['recovery_key']}. Give "
                "--recovery-key FILE, or --without-keys if this machine has the keys already."
            )
        return {}

    def _refuse_unless_ready(self, *, replaces: bool) -> None:
        if (found := contents_here()) and not replaces:
            self.refuse(f"This instance contains {', '.join(found)}. --replace replaces it; nothing was changed.")
        if running := clients_here():
            self.refuse(f"Stop everything that uses the database first: {', '.join(running)}.")

    def _keeps_log_names(self, backup: Backup, given: str | None) -> bool:
        question = _QUESTION.format(made_at=backup.manifest["made_at"])
        if given is None and not sys.stdin.isatty():
            self.misuse(f"{question} Say --log-name keep or --log-name new.")
        if given is None:
            self.stderr.write(question)
            given = _KEEP if input("Keep the log names? [yes/NO] ").strip().lower() == "yes" else _NEW
        return given == _KEEP

    def _compare_keys(self) -> None:
        """Compare the keys of this machine with those of the instance, in a process that reads the new ones."""
        done = subprocess.run(program("instance", "check"), check=False, capture_output=True, text=True)
        if done.returncode:
            self.stderr.write(done.stderr.strip())


def _texts(given: str) -> list[str]:
    """Return the keys that an option gives: itself, or the lines of the file that it names after @."""
    return Path(given[1:]).read_text().split() if given.startswith("@") else [given]
