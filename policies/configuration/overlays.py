"""Services for overlays, the bindings of policies to scopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies import selectors
from policies.documents.overlay import OverlayScope, parse_overlay
from policies.drafts.validation import check_limits, validate_policy
from policies.language.time_window import ALWAYS, TimeWindow
from policies.models import Channel, Overlay, Policy
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import (
    DocumentInvalid,
    FieldError,
    NotFound,
    PolicyDocumentInvalid,
    UnknownChannel,
    UnknownGroup,
    UnknownPack,
    UnknownWorkflow,
)
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult


def upsert_overlay(
    policy: str, scope: OverlayScope, *, window: TimeWindow = ALWAYS, ctx: ActingContext
) -> UpsertResult[Overlay]:
    """Bind a policy to `scope` within the time window. A policy without a version in force denies there.

    Receipts: `overlay.added`, and `overlay.changed` if the time window of an existing binding changes. Raises
    `DocumentInvalid` (no such policy), `UnknownWorkflow`, `UnknownChannel`, `UnknownGroup`,
    `UnknownPack`, and `PolicyDocumentInvalid` if the version in force does not fit the payload schemas in the scope.
    """
    require_unit_of_work(ctx.tenant_id)
    # Lock, so that a concurrently published version is checked against this scope too.
    bound = Policy.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=policy).first()
    if bound is None:
        raise DocumentInvalid(
            f"There is no policy {policy}. Create it first.",
            errors=[FieldError("/policy", "names no policy", "unknown")],
        )
    rows = Overlay.objects.filter(tenant_id=ctx.tenant_id, policy=bound)
    existing = rows.filter(scope_kind=scope.kind, scope_slug=scope.slug).select_for_update().first()
    if existing is not None:
        existing.policy = bound
        return _within(existing, window, ctx=ctx)
    _check_scope_exists(scope, ctx=ctx)
    _check_version_fits(bound, scope, ctx=ctx)
    _confirm_put(bound, scope, None, window, ctx=ctx)
    overlay = Overlay.objects.create(
        tenant_id=ctx.tenant_id,
        policy=bound,
        scope_kind=scope.kind,
        scope_slug=scope.slug,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    check_limits(bound, ctx=ctx)
    record(_entry("overlay.added", overlay), ctx=ctx)
    return UpsertResult(overlay, Change.CREATED)


def remove_overlay(overlay: Overlay, *, ctx: ActingContext) -> None:
    """Remove an overlay, effective from the next decision on.

    Receipt: `overlay.removed`. Raises `NotFound` if it was removed concurrently.
    """
    require_unit_of_work(ctx.tenant_id)
    locked = (
        Overlay.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=overlay.id)
        .select_related("policy")
        .first()
    )
    if locked is None:
        raise NotFound
    require_policy_confirmation(
        "overlay.remove",
        f"Remove the overlay of {locked.policy.slug} on {locked.scope}",
        arguments={"overlay_id": str(locked.id)},
        before=_state(locked.policy, locked.scope, locked.window),
        after=None,
        ctx=ctx,
    )
    record(_entry("overlay.removed", locked), ctx=ctx)
    locked.delete()


@operation("overlay.put", scope=Scope.POLICIES_PUBLISH)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    document = parse_overlay(arguments)
    upsert_overlay(document.policy, document.scope, window=document.window, ctx=ctx)


@operation("overlay.remove", scope=Scope.POLICIES_PUBLISH)
def _remove(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    overlay = Overlay.objects.filter(tenant_id=ctx.tenant_id, id=arguments["overlay_id"]).first()
    if overlay is None:
        raise NotFound
    remove_overlay(overlay, ctx=ctx)


def _confirm_put(
    policy: Policy, scope: OverlayScope, before: TimeWindow | None, after: TimeWindow, *, ctx: ActingContext
) -> None:
    require_policy_confirmation(
        "overlay.put",
        f"Bind {policy.slug} to {scope}",
        arguments={"policy": policy.slug, "scope": scope.as_json(), **after.as_json()},
        before=_state(policy, scope, before) if before else None,
        after=_state(policy, scope, after),
        ctx=ctx,
    )


def _state(policy: Policy, scope: OverlayScope, window: TimeWindow) -> dict[str, Any]:
    """Return a binding with the digest of the version in force, which it puts into force there."""
    in_force = policy.in_force.document_sha256 if policy.in_force else None
    return {"policy": policy.slug, "in_force_sha256": in_force, "scope": scope.as_json(), **window.as_json()}


def _within(overlay: Overlay, window: TimeWindow, *, ctx: ActingContext) -> UpsertResult[Overlay]:
    if overlay.window == window:
        return UpsertResult(overlay, Change.UNCHANGED)
    before = overlay.window
    _confirm_put(overlay.policy, overlay.scope, before, window, ctx=ctx)
    overlay.starts_at, overlay.ends_at = window.starts_at, window.ends_at
    overlay.save(update_fields=["starts_at", "ends_at"])
    record(_entry("overlay.changed", overlay, before=before.as_json()), ctx=ctx)
    return UpsertResult(overlay, Change.CHANGED)


def _check_scope_exists(scope: OverlayScope, *, ctx: ActingContext) -> None:
    if scope.kind == "workflow" and not selectors.all_workflows(ctx).filter(slug=scope.slug).exists():
        raise UnknownWorkflow(errors=[FieldError("/scope/workflow", f"{scope.slug} names no workflow", "unknown")])
    if scope.kind == "channel" and not Channel.objects.filter(tenant_id=ctx.tenant_id, slug=scope.slug).exists():
        raise UnknownChannel(errors=[FieldError("/scope/channel", f"{scope.slug} names no channel", "unknown")])
    if scope.kind == "pack" and selectors.pack_by_slug(scope.slug, ctx=ctx) is None:
        raise UnknownPack(errors=[FieldError("/scope/pack", f"{scope.slug} names no pack", "unknown")])
    if scope.kind == "group" and not selectors.group_exists(scope.slug, tenant_id=ctx.tenant_id):
        raise UnknownGroup(errors=[FieldError("/scope/group", f"{scope.slug} names no group", "unknown")])


def _check_version_fits(policy: Policy, scope: OverlayScope, *, ctx: ActingContext) -> None:
    if policy.in_force is None:
        return
    found = validate_policy(policy.in_force.document, policy=policy, ctx=ctx, also_reaching=[scope], runs_tests=False)
    if found.type_errors:
        raise PolicyDocumentInvalid(
            f"The version in force of {policy.slug} does not fit the payload schemas on {scope}.",
            errors=found.type_errors,
        )
    if found.cost_errors:
        raise PolicyDocumentInvalid(
            f"The version in force of {policy.slug} would cost too much for the payloads on {scope}.",
            errors=found.cost_errors,
        )


def _entry(kind: str, overlay: Overlay, **outcome: Any) -> Entry:
    return Entry(
        kind=kind,
        subject=Subject(
            workflow=overlay.scope_slug if overlay.scope_kind == "workflow" else "",
            channel=overlay.scope_slug if overlay.scope_kind == "channel" else "",
        ),
        policy={"policy": overlay.policy.slug},
        outcome={
            "overlay_id": overlay.public_id,
            "scope": overlay.scope.as_json(),
            **overlay.window.as_json(),
            **outcome,
        },
    )
