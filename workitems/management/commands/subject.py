from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import User
from workitems.retention.erasure import erase_principal, erase_subject, subject_named
from workitems.retention.subject_export import export_principal, export_subject


class Command(TenantCommand):
    uses_keys = True
    help = (
        "Export all data about one person (JSON Lines), or erase it. The person is a data subject, named as in "
        "payloads, or a principal. Erasure cannot be undone. Receipts and proofs remain."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["export", "erase"])
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--reference", help="data subject, named as in payloads; - reads the name from stdin")
        who.add_argument("--subject", help="data subject by id, su_…")
        who.add_argument("--principal", help="principal, by name or pr_…")
        parser.add_argument("--output", type=Path, help="export: a new file (mode 0600) instead of stdout")
        parser.add_argument("--yes", action="store_true", help="erase: confirm the erasure")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            principal = self._principal(options["principal"], ctx) if options["principal"] else None
            subject = None if principal else self._subject(options)
            if options["action"] == "export":
                lines = export_principal(principal, ctx=ctx) if principal else export_subject(subject, ctx=ctx)  # type: ignore[arg-type]
                self._write(lines, options["output"])
                return
            name = principal.public_id if principal else ids.public_id(ids.DATA_SUBJECT, subject)  # type: ignore[arg-type]
            if not options["yes"]:
                self.refuse(f"This erases {name} permanently. Repeat the command with --yes.")
            if principal:
                count = erase_principal(principal, ctx=ctx)
                self.stdout.write(f"{name}: erased, with {count} comments and reasons.")
                return
            cases = erase_subject(subject, now=clock.now(), ctx=ctx)  # type: ignore[arg-type]
            self.stdout.write(f"{name}: erased; the contents of {cases} cases are no longer readable.")

    def _write(self, lines: Iterator[bytes], output: Path | None) -> None:
        if output is None:
            for line in lines:
                self.stdout.write(line.decode(), ending="")
            return
        try:
            handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            self.refuse(f"{output} cannot be created: {error.strerror}.")
        with os.fdopen(handle, "wb") as file:
            file.writelines(lines)

    def _subject(self, options: dict[str, Any]) -> uuid.UUID:
        if options["subject"]:
            parsed = ids.parse_public_id(ids.DATA_SUBJECT, options["subject"])
            if parsed is None:
                self.misuse("--subject takes an id that begins with su_.")
            return parsed
        reference = sys.stdin.read() if options["reference"] == "-" else options["reference"]
        found = subject_named(reference.strip())
        if found is None:
            self.refuse("There is no data subject with this reference, or it was erased.")
        return found

    def _principal(self, name: str, ctx: ActingContext) -> User:
        parsed = ids.parse_public_id(ids.PRINCIPAL, name)
        members = User.objects.filter(memberships__tenant_id=ctx.tenant_id)
        found = (members.filter(id=parsed) if parsed else members.filter(username=name)).first()
        if found is None:
            self.refuse(f"There is no principal {name!r} in this tenant.")
        return found
