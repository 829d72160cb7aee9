from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import Membership
from workitems.models import LegalHold
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold


class Command(TenantCommand):
    help = "Set, lift or list legal holds. Cases under a legal hold are neither deleted nor erased."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["set", "lift", "list"])
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--hold", help="lift: id of the legal hold, lh_…")
        parser.add_argument("--reason", default="", help="set, lift: reason")
        parser.add_argument("--work-item", help="set: only this work item, wi_…")
        parser.add_argument("--workflow", default="", help="set: all cases of this workflow")
        parser.add_argument("--channel", default="", help="set: all cases of this channel")
        parser.add_argument("--requester", help="set: all cases of this requester, by name or pr_…")
        parser.add_argument("--from", dest="after", help="set: created at or after this day or instant")
        parser.add_argument("--to", dest="before", help="set: created before this day or instant")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            match options["action"]:
                case "set":
                    self.stdout.write(set_legal_hold(self._request(options, ctx), ctx=ctx).public_id)
                case "lift":
                    legal_hold_id = self._id(ids.LEGAL_HOLD, options["hold"], "--hold")
                    self.stdout.write(lift_legal_hold(legal_hold_id, reason=options["reason"], ctx=ctx).public_id)
                case _:
                    for legal_hold in LegalHold.objects.filter(tenant_id=ctx.tenant_id).order_by("id"):
                        state = "in force" if legal_hold.lifted_at is None else "lifted"
                        self.stdout.write(f"{legal_hold.public_id} {state}: {legal_hold.reason}")

    def _request(self, options: dict[str, Any], ctx: ActingContext) -> LegalHoldRequest:
        item = options["work_item"]
        return LegalHoldRequest(
            reason=options["reason"],
            work_item_id=self._id(ids.WORK_ITEM, item, "--work-item") if item else None,
            workflow=options["workflow"],
            channel=options["channel"],
            requester_id=self._member(options["requester"], ctx) if options["requester"] else None,
            created_after=self._instant(options["after"], "--from"),
            created_before=self._instant(options["before"], "--to"),
        )

    def _id(self, prefix: str, text: str | None, option: str) -> uuid.UUID:
        parsed = ids.parse_public_id(prefix, text or "")
        if parsed is None:
            self.misuse(f"{option} takes an id that begins with {prefix}_.")
        return parsed

    def _instant(self, text: str | None, option: str) -> datetime | None:
        if text is None:
            return None
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            self.misuse(f"{option} takes a day (2026-01-31) or an instant (2026-01-31T12:00:00Z).")
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)

    def _member(self, name: str, ctx: ActingContext) -> uuid.UUID:
        parsed = ids.parse_public_id(ids.PRINCIPAL, name)
        members = Membership.objects.filter(tenant_id=ctx.tenant_id)
        if parsed:
            return parsed
        user_id = members.filter(user__username=name).values_list("user_id", flat=True).first()
        if user_id is None:
            self.refuse(f"There is no principal {name!r} in this tenant.")
        return user_id
