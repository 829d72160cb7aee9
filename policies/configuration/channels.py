"""Services for channels, the sources of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.locks import locked_by_slug
from policies.models import Channel
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult


def upsert_channel(slug: str, *, ctx: ActingContext, name: str = "") -> UpsertResult[Channel]:
    """Create or rename the channel `slug`. Receipts: `channel.created`, `channel.renamed`."""
    require_unit_of_work(ctx.tenant_id)
    channel, is_new = locked_by_slug(Channel, slug, ctx=ctx)
    if not is_new and channel.name == name:
        return UpsertResult(channel, Change.UNCHANGED)
    require_policy_confirmation(
        "channel.put",
        f"Create the channel {slug}" if is_new else f"Rename the channel {slug}",
        arguments={"channel": slug, "name": name},
        before=None if is_new else {"channel": slug, "name": channel.name},
        after={"channel": slug, "name": name},
        ctx=ctx,
    )
    channel.name = name
    channel.save(update_fields=["name"])
    kind = "channel.created" if is_new else "channel.renamed"
    record(Entry(kind=kind, subject=Subject(channel=slug), outcome={"name": name}), ctx=ctx)
    return UpsertResult(channel, Change.CREATED if is_new else Change.CHANGED)


@operation("channel.put", scope=Scope.WORKFLOW_MANAGE)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    upsert_channel(arguments["channel"], name=arguments["name"], ctx=ctx)
