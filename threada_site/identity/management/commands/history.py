from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import CommandParser

from telemetry.receipts.filters import receipts_of_principal
from telemetry.selectors import receipts
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import User


class Command(TenantCommand):
    help = (
        "Print the receipts of a principal, oldest first: those about the account and those of what it did. "
        "Also after the membership has ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("principal", metavar="PRINCIPAL", help="name, or id (pr_…)")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--json", action="store_true", help="print the stored bytes, one receipt a line")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            rows = receipts_of_principal(receipts(ctx), self._principal(options["principal"], ctx.tenant_id).id)
            for row in rows.order_by("id").iterator():
                body = bytes(row.body)
                if options["json"]:
                    self.stdout.write(body.decode())
                    continue
                said = orjson.loads(body)
                details = orjson.dumps({**said["inputs"], **said["outcome"]}).decode()
                actor = said["actor"]
                by = f"{actor['principal']} ({actor['entry_point']})"
                self.stdout.write(f"{rfc3339(row.occurred_at)}  {row.kind:32}  {by}  {row.public_id}  {details}")

    def _principal(self, said: str, tenant_id: Any) -> User:
        principal_id = ids.parse_public_id(ids.PRINCIPAL, said)
        named = {"id": principal_id} if principal_id else {"username": said}
        found = list(User.objects.filter(home_tenant_id__in=[tenant_id], **named))
        found += list(User.objects.filter(home_tenant_id=None, **named))
        if len(found) != 1:
            self.refuse(
                "There is no such principal."
                if not found
                else "Several principals have this name. Give the id: " + ", ".join(one.public_id for one in found)
            )
        return found[0]
