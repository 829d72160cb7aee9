from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from telemetry.log.key_file import KeyFileProblem
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.texts import MalformedText
from threada_site.database.roles import platform_role
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.progress import BackupProgress
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem
from threada_site.runtime.backup.tenant_export import export_tenant
from threada_site.runtime.tenants.archive import checked_export
from threada_site.runtime.tenants.arrive import import_tenant
from threada_site.runtime.tenants.departure import delete_tenant
from threada_site.tenancy.deletions.models import DeletedTenant
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    uses_keys = True
    help = (
        "Write everything of one tenant into a file (export), store such a file in this instance (import), or delete a "
        "tenant whose deletion two independent stewards confirmed (delete)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True)
        export = actions.add_parser("export", help="write the file")
        export.add_argument("tenant", help="the tenant's slug")
        export.add_argument("file", type=Path, help="the file to write; an existing one is not replaced")
        export.add_argument(
            "--recovery-key",
            default="",
            metavar="PUBLIC",
            help="public recovery key of whoever receives the file, for the keys of people in cases",
        )
        arrival = actions.add_parser("import", help="verify the file and store the tenant: all of it or nothing")
        arrival.add_argument("file", type=Path, help="the file of `tenant export`")
        arrival.add_argument("--as", dest="slug", metavar="NAME", help="another slug for the tenant")
        arrival.add_argument(
            "--log-key",
            action="append",
            default=[],
            metavar="KEY",
            help="public sealing key of the exporting instance; may be repeated. Without it, the key is the one that "
            "the file states",
        )
        arrival.add_argument("--recovery-key-file", type=Path, metavar="FILE", help="private recovery key")
        arrival.add_argument("--without-keys", action="store_true", help="give up the contents of cases about people")
        arrival.add_argument(
            "--rename",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help="new name of a person whose name is taken here; may be repeated",
        )

        departure = actions.add_parser("delete", help="carry out a confirmed deletion that is due, or continue it")
        departure.add_argument("tenant", help="the tenant's slug")
        departure.add_argument("--yes", action="store_true", help="really delete it: nothing brings it back")
        actions.add_parser("deleted", help="print the signed records of all deleted tenants")

    def run_command(self, **options: Any) -> None:
        try:
            with BackupProgress(self.stderr) as progress:
                does = {"export": self._export, "import": self._import, "delete": self._delete, "deleted": self._print}
                does[options["does"]](progress, options)
        except (BackupDamaged, RecoveryKeyProblem, KeyFileProblem) as error:
            self.refuse(*map(_printable, str(error).splitlines()))
        except MalformedText as error:
            self.misuse(f"--log-key: {error}")
        except OSError as error:
            self.refuse(f"{error.filename}: {error.strerror or error}")

    def _export(self, progress: BackupProgress, options: dict[str, Any]) -> None:
        ctx = self.command_context(options["tenant"])
        path: Path = options["file"].absolute()
        created = export_tenant(path, recovery_key=options["recovery_key"], ctx=ctx, watch=progress.step)
        for sentence in created.left_out:
            self.stderr.write(sentence)
        self.stdout.write(f"{created.path}: {created.bytes} bytes")

    def _import(self, progress: BackupProgress, options: dict[str, Any]) -> None:
        given = [VerifierKey.parse(text) for text in options["log_key"]]
        renamed = dict(text.partition("=")[::2] for text in options["rename"])
        if not all(renamed.values()):
            self.misuse("--rename is OLD=NEW.")
        key_file: Path | None = options["recovery_key_file"]
        with Backup(options["file"]) as backup:
            export = checked_export(backup, given=given, watch=progress.step)
            if export.are_stated:
                named = ", ".join(map(str, export.keys))
                progress.say(
                    f"verified with the key that the file itself states, compare it with the one you know: {named}"
                )
            done = import_tenant(
                export,
                slug=options["slug"] or export.slug,
                renamed=renamed,
                recovery_key=key_file.read_text().strip() if key_file else "",
                without_keys=options["without_keys"],
                say=progress.say,
            )
        for sentence in done.remarks:
            self.stderr.write(sentence)
        self.stdout.write(f"{done.tenant.slug}: {done.receipts} receipts; {done.origin} goes on from there.")

    def _delete(self, progress: BackupProgress, options: dict[str, Any]) -> None:
        ctx = self.command_context(options["tenant"])
        if not options["yes"]:
            self.misuse("A deleted tenant cannot be brought back. Say --yes. Export it first: manage.py tenant export.")
        self.stdout.write(delete_tenant(ctx=ctx, say=progress.say).note, ending="")

    def _print(self, _progress: BackupProgress, _options: dict[str, Any]) -> None:
        with platform_role():
            notes = list(DeletedTenant.objects.exclude(note="").order_by("id").values_list("note", flat=True))
        self.stdout.write("\n".join(notes), ending="")


def _printable(line: str) -> str:
    """Return a line that changes nothing in a terminal: it may quote a file that a stranger made."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)
