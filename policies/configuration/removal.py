"""Removal of configuration objects that are not in use.

Versions that cases, decisions and receipts refer to stay readable: a workflow, list or policy is withdrawn with its
versions kept, and is restored by the next new version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from policies import selectors
from policies.configuration.calendars import calendar_state
from policies.configuration.use_checks import run_use_checks
from policies.documents.policy import parse_policy
from policies.language.approvals import leaves_of
from policies.language.evaluation import compile_policy
from policies.locks import locked_by_slug, locked_policy_of
from policies.models import Calendar, Channel, List, Overlay, Policy, Workflow
from policies.publication.publish import retire_policy_version
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError, InUse, NotFound, ThreadaError
from threada_site.tenancy.change_sets import operation, require_policy_confirmation

_NAMED: Final = 10


def remove_channel(slug: str, *, ctx: ActingContext) -> None:
    """Remove a channel. Receipt `channel.removed`. Raises `InUse` with the overlays or open work items on it."""
    require_unit_of_work(ctx.tenant_id)
    _check_unused("channel", slug, ctx=ctx)
    channel = Channel.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if channel is None:
        return
    _confirm("channel.remove", f"Remove the channel {slug}", slug, {"channel": slug, "name": channel.name}, ctx=ctx)
    removed, _ = Channel.objects.filter(tenant_id=ctx.tenant_id, slug=slug).delete()
    if removed:
        record(Entry(kind="channel.removed", subject=Subject(channel=slug)), ctx=ctx)


def remove_calendar(slug: str, *, ctx: ActingContext) -> None:
    """Remove the calendar of the tenant; existing deadlines stay. Receipt `calendar.removed`."""
    require_unit_of_work(ctx.tenant_id)
    calendar = Calendar.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if calendar is None:
        return
    _confirm("calendar.remove", f"Remove the calendar {slug}", slug, calendar_state(calendar), ctx=ctx)
    removed, _ = Calendar.objects.filter(tenant_id=ctx.tenant_id, slug=slug).delete()
    if removed:
        record(Entry(kind="calendar.removed", inputs={"calendar": slug}), ctx=ctx)


def withdraw_list(slug: str, *, ctx: ActingContext) -> None:
    """Withdraw a list. Receipt `list.withdrawn`. Raises `InUse` with the policies that read it."""
    require_unit_of_work(ctx.tenant_id)
    readers = (
        FieldError("", f"the policy {policy.slug} reads it", "in_use")
        for policy in _in_force(ctx)
        if _reads(policy, slug)
    )
    _refuse_users(f"The list {slug}", readers)
    row, _ = locked_by_slug(List, slug, ctx=ctx)
    before = {"list": slug, "items": row.current_version.spec} if row.current_version else None
    _confirm("list.withdraw", f"Withdraw the list {slug}", slug, before, ctx=ctx)
    row.current_version = None
    row.save(update_fields=["current_version"])
    record(Entry(kind="list.withdrawn", inputs={"list": slug}), ctx=ctx)


def withdraw_workflow(slug: str, *, ctx: ActingContext) -> None:
    """Withdraw a workflow: accept no new work items. Receipt `workflow.withdrawn`.

    Raises `InUse` with its overlays or open work items.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_unused("workflow", slug, ctx=ctx)
    row, _ = locked_by_slug(Workflow, slug, ctx=ctx)
    before = {"workflow": slug, "name": row.name, "spec": row.current_version.spec} if row.current_version else None
    _confirm("workflow.withdraw", f"Withdraw the workflow {slug}", slug, before, ctx=ctx)
    row.current_version = None
    row.save(update_fields=["current_version"])
    record(Entry(kind="workflow.withdrawn", subject=Subject(workflow=slug)), ctx=ctx)


def withdraw_policy(slug: str, *, ctx: ActingContext) -> None:
    """Retire the version in force of an unbound policy and re-evaluate the open steps that pin it.

    Receipt `policy.retired`. Raises `InUse` with the overlays that bind it and the policies that override its rules.
    """
    require_unit_of_work(ctx.tenant_id)
    policy = selectors.policy_by_slug(slug, ctx=ctx)
    if policy is None:
        raise NotFound
    bound = selectors.overlays(ctx).filter(policy=policy).order_by("id")[: _NAMED + 1]
    _refuse_users(f"The policy {slug}", _as_users(bound))
    if policy.in_force is not None:
        locked_policy_of(policy.in_force, ctx=ctx)
        retire_policy_version(policy.in_force, ctx=ctx)


def check_nobody_asks(kind: str, name: str, *, ctx: ActingContext) -> None:
    """Raise `InUse` if a policy in force requires approval by the role or group, or an overlay binds the group."""
    asking = (
        FieldError("", f"the policy {policy.slug} requires its approval (rule {rule})", "in_use")
        for policy in _in_force(ctx)
        for rule in _rules_asking(policy, kind, name)
    )
    _refuse_users(f"The {kind} {name}", asking)
    if kind == "group":
        check_not_bound("group", name, ctx=ctx)


def check_not_bound(kind: str, slug: str, *, ctx: ActingContext) -> None:
    """Raise `InUse` with the overlays that bind policies to the scope."""
    bound = selectors.overlays(ctx).filter(scope_kind=kind, scope_slug=slug).order_by("id")[: _NAMED + 1]
    _refuse_users(f"The {kind} {slug}", _as_users(bound))


def _check_unused(kind: str, slug: str, *, ctx: ActingContext) -> None:
    run_use_checks(kind, slug, ctx=ctx)
    check_not_bound(kind, slug, ctx=ctx)


def _confirm(operation: str, title: str, slug: str, before: Any, *, ctx: ActingContext) -> None:
    """Raise `ConfirmationRequired` if the removal of something in force needs a second person."""
    if before is not None:
        require_policy_confirmation(operation, title, arguments={"slug": slug}, before=before, after=None, ctx=ctx)


@operation("channel.remove", scope=Scope.WORKFLOW_MANAGE)
def _remove_channel(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    remove_channel(arguments["slug"], ctx=ctx)


@operation("calendar.remove", scope=Scope.WORKFLOW_MANAGE)
def _remove_calendar(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    remove_calendar(arguments["slug"], ctx=ctx)


@operation("list.withdraw", scope=Scope.POLICIES_PUBLISH)
def _withdraw_list(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    withdraw_list(arguments["slug"], ctx=ctx)


@operation("workflow.withdraw", scope=Scope.WORKFLOW_MANAGE)
def _withdraw_workflow(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    withdraw_workflow(arguments["slug"], ctx=ctx)


def _as_users(overlays: Iterable[Overlay]) -> Iterator[FieldError]:
    return (
        FieldError("", f"the policy {overlay.policy.slug} is bound to {overlay.scope}", "in_use")
        for overlay in overlays
    )


def _refuse_users(what: str, users: Iterable[FieldError]) -> None:
    found = [user for user, _ in zip(users, range(_NAMED), strict=False)]
    if found:
        raise InUse(f"{what} is in use: {found[0].detail}. Remove what uses it first.", errors=found)


def _in_force(ctx: ActingContext) -> Iterator[Policy]:
    return selectors.policies(ctx).filter(in_force__isnull=False).order_by("slug").iterator()


def _document(policy: Policy) -> Any:
    try:
        return parse_policy(policy.in_force.document) if policy.in_force else None
    except ThreadaError:  # an invalid version denies and uses nothing
        return None


def _reads(policy: Policy, name: str) -> bool:
    document = _document(policy)
    lists = compile_policy(document).lists if document else frozenset[str]()
    return lists is None or name in lists


def _rules_asking(policy: Policy, kind: str, name: str) -> Iterator[str]:
    document = _document(policy)
    for rule in document.rules if document else ():
        if rule.approvals and any((leaf.kind, leaf.name) == (kind, name) for leaf in leaves_of(rule.approvals.tree)):
            yield rule.id
