"""`kind: Channel`, `Calendar`, `List`, `Workflow`, `Policy` and `Overlay` documents."""

from __future__ import annotations

from collections.abc import Iterator

from policies import selectors
from policies.configuration.calendars import upsert_calendar
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.configuration.removal import (
    remove_calendar,
    remove_channel,
    withdraw_list,
    withdraw_policy,
    withdraw_workflow,
)
from policies.configuration.workflows import upsert_workflow
from policies.documents.calendar import CALENDAR_SCHEMA, parse_calendar
from policies.documents.channel import CHANNEL_SCHEMA, parse_channel
from policies.documents.list import LIST_SCHEMA, parse_list
from policies.documents.overlay import OVERLAY_SCHEMA, parse_overlay
from policies.documents.policy import parse_policy
from policies.documents.policy_schema import POLICY_SCHEMA
from policies.documents.workflow import WORKFLOW_SCHEMA, parse_workflow
from policies.language.lifted_exclusions import lifted_exclusions
from policies.models import Overlay
from policies.publication.publish import upsert_policy
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import NotFound
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole


def _apply_channel(value: Written, ctx: ActingContext) -> Applied:
    document = parse_channel(value)
    before = selectors.channel_by_slug(str(document.id), ctx=ctx)
    result = upsert_channel(str(document.id), ctx=ctx, name=document.name)
    return Applied(
        "Channel",
        result.row.slug,
        result.change,
        diff({"name": before.name} if before else None, {"name": document.name}),
    )


def _channels(ctx: ActingContext) -> Iterator[Stored]:
    for channel in selectors.channels(ctx).order_by("slug"):
        yield Stored(channel.slug, whole("Channel", channel.slug, {"name": channel.name} if channel.name else {}))


def _remove_channel(name: str, ctx: ActingContext) -> None:
    remove_channel(name, ctx=ctx)


def _apply_calendar(value: Written, ctx: ActingContext) -> Applied:
    document = parse_calendar(value)
    before = selectors.calendar_of(ctx.tenant_id)
    result = upsert_calendar(str(document.id), document, ctx=ctx)
    return Applied(
        "Calendar", result.row.slug, result.change, diff(before.document if before else None, result.row.document)
    )


def _calendars(ctx: ActingContext) -> Iterator[Stored]:
    calendar = selectors.calendar_of(ctx.tenant_id)
    if calendar is not None:
        yield Stored(calendar.slug, whole("Calendar", calendar.slug, calendar.document))


def _apply_list(value: Written, ctx: ActingContext) -> Applied:
    document = parse_list(value)
    before = selectors.lists(ctx).filter(slug=document.id).first()
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_list(str(document.id), document, ctx=ctx)
    return Applied("List", result.row.slug, result.change, diff(old, list(document.items)))


def _lists(ctx: ActingContext) -> Iterator[Stored]:
    for row in selectors.lists(ctx).order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - selectors leave out lists without one
        yield Stored(row.slug, whole("List", row.slug, {"items": row.current_version.spec}))


def _apply_workflow(value: Written, ctx: ActingContext) -> Applied:
    document = parse_workflow(value)
    before = selectors.all_workflows(ctx).filter(slug=document.id).first()
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_workflow(str(document.id), document, ctx=ctx)
    return Applied("Workflow", result.row.slug, result.change, diff(old, document.as_spec()))


def _workflows(ctx: ActingContext) -> Iterator[Stored]:
    for row in selectors.all_workflows(ctx).order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - selectors leave out workflows without one
        name = {"name": row.name} if row.name else {}
        yield Stored(row.slug, whole("Workflow", row.slug, {**name, **row.current_version.spec}))


def _remove_workflow(name: str, ctx: ActingContext) -> None:
    withdraw_workflow(name, ctx=ctx)


def _apply_policy(value: Written, ctx: ActingContext) -> Applied:
    slug = str(value.get("id"))
    before = selectors.policy_by_slug(slug, ctx=ctx)
    old = before.in_force.document if before and before.in_force else None
    result = upsert_policy(slug, value, ctx=ctx)
    change = Change.CREATED if old is None and result.change is Change.CHANGED else result.change
    warned = [] if change is Change.UNCHANGED else lifted_exclusions(parse_policy(result.row.document))
    return Applied(
        "Policy",
        slug,
        change,
        diff(old, result.row.document),
        warnings=tuple(warning.detail for warning in warned),
    )


def _policies(ctx: ActingContext) -> Iterator[Stored]:
    for row in selectors.policies(ctx).filter(in_force__isnull=False).order_by("slug"):
        assert row.in_force is not None  # noqa: S101 - left out above
        yield Stored(row.slug, whole("Policy", row.slug, row.in_force.document))


def _apply_overlay(value: Written, ctx: ActingContext) -> Applied:
    document = parse_overlay(value)
    before = selectors.overlay_on(document.policy, document.scope, ctx=ctx)
    result = upsert_overlay(document.policy, document.scope, window=document.window, ctx=ctx)
    old = before.window.as_json() if before else None
    return Applied("Overlay", overlay_name(result.row), result.change, diff(old, document.window.as_json()))


def overlay_name(overlay: Overlay) -> str:
    """Return the name of an overlay in plans and exports."""
    return f"{overlay.policy.slug} on {overlay.scope}"


def _overlays(ctx: ActingContext) -> Iterator[Stored]:
    for overlay in selectors.overlays(ctx).order_by("policy__slug", "scope_kind", "scope_slug"):
        window = {name: instant for name, instant in overlay.window.as_json().items() if instant}
        written = {"kind": "Overlay", "policy": overlay.policy.slug, "scope": overlay.scope.as_json(), **window}
        yield Stored(overlay_name(overlay), written)


def _remove_overlay(name: str, ctx: ActingContext) -> None:
    found = next((overlay for overlay in selectors.overlays(ctx) if overlay_name(overlay) == name), None)
    if found is None:
        raise NotFound
    remove_overlay(found, ctx=ctx)


CHANNEL = Kind(lambda: CHANNEL_SCHEMA.schema, _apply_channel, _channels, _remove_channel)
CALENDAR = Kind(
    lambda: CALENDAR_SCHEMA.schema, _apply_calendar, _calendars, lambda name, ctx: remove_calendar(name, ctx=ctx)
)
LIST = Kind(lambda: LIST_SCHEMA.schema, _apply_list, _lists, lambda name, ctx: withdraw_list(name, ctx=ctx))
WORKFLOW = Kind(lambda: WORKFLOW_SCHEMA.schema, _apply_workflow, _workflows, _remove_workflow)
POLICY = Kind(lambda: POLICY_SCHEMA.schema, _apply_policy, _policies, lambda name, ctx: withdraw_policy(name, ctx=ctx))
OVERLAY = Kind(lambda: OVERLAY_SCHEMA.schema, _apply_overlay, _overlays, _remove_overlay)
