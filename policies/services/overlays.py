"""Overlays: where policies apply."""

from __future__ import annotations

from policies import selectors
from policies.models import Channel, Overlay, Policy
from policies.overlay_documents import OverlayScope
from policies.services.validation import validate_policy
from telemetry.receipts import Entry, Subject
from telemetry.services.record import record
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import (
    DocumentInvalid,
    FieldError,
    NotFound,
    PolicyDocumentInvalid,
    UnknownChannel,
    UnknownWorkflow,
)
from threada_site.tenancy.puts import Change, Put
from threada_site.tenancy.unit_of_work import require_unit_of_work


def put_overlay(policy: str, scope: OverlayScope, *, ctx: ActingContext) -> Put[Overlay]:
    """Have a policy apply in `scope`, from the next decision on. One without a version in force denies there.

    Receipt: `overlay.added`. Raises `DocumentInvalid` (no such policy), `UnknownWorkflow`, `UnknownChannel`, and
    `PolicyDocumentInvalid` when the version in force does not fit the payloads that it would reach.
    """
    require_unit_of_work(ctx.tenant_id)
    # Locked, so that a version published meanwhile is checked against this scope too.
    bound = Policy.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=policy).first()
    if bound is None:
        raise DocumentInvalid(
            f"There is no policy {policy}. Make it first.",
            errors=[FieldError("/policy", "names no policy", "unknown")],
        )
    existing = Overlay.objects.filter(
        tenant_id=ctx.tenant_id, policy=bound, scope_kind=scope.kind, scope_slug=scope.slug
    ).first()
    if existing is not None:
        existing.policy = bound
        return Put(existing, Change.UNCHANGED)
    _check_scope_exists(scope, ctx=ctx)
    _check_version_fits(bound, scope, ctx=ctx)
    overlay = Overlay.objects.create(
        tenant_id=ctx.tenant_id,
        policy=bound,
        scope_kind=scope.kind,
        scope_slug=scope.slug,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    record(_entry("overlay.added", overlay), ctx=ctx)
    return Put(overlay, Change.CREATED)


def remove_overlay(overlay: Overlay, *, ctx: ActingContext) -> None:
    """Have the policy no longer apply there, from the next decision on.

    Receipt: `overlay.removed`. Raises `NotFound` when somebody else was faster.
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
    record(_entry("overlay.removed", locked), ctx=ctx)
    locked.delete()


def _check_scope_exists(scope: OverlayScope, *, ctx: ActingContext) -> None:
    if scope.kind == "workflow" and not selectors.all_workflows(ctx).filter(slug=scope.slug).exists():
        raise UnknownWorkflow(errors=[FieldError("/scope/workflow", f"{scope.slug} names no workflow", "unknown")])
    if scope.kind == "channel" and not Channel.objects.filter(tenant_id=ctx.tenant_id, slug=scope.slug).exists():
        raise UnknownChannel(errors=[FieldError("/scope/channel", f"{scope.slug} names no channel", "unknown")])


def _check_version_fits(policy: Policy, scope: OverlayScope, *, ctx: ActingContext) -> None:
    if policy.in_force is None:
        return
    found = validate_policy(policy.in_force.document, policy=policy, ctx=ctx, also_reaching=[scope])
    if found.type_problems:
        raise PolicyDocumentInvalid(
            f"The version in force of {policy.slug} does not fit what it would reach on {scope}.",
            errors=found.type_problems,
        )


def _entry(kind: str, overlay: Overlay) -> Entry:
    return Entry(
        kind=kind,
        subject=Subject(
            workflow=overlay.scope_slug if overlay.scope_kind == "workflow" else "",
            channel=overlay.scope_slug if overlay.scope_kind == "channel" else "",
        ),
        policy={"policy": overlay.policy.slug},
        outcome={
            "overlay_id": overlay.public_id,
            "scope": OverlayScope(overlay.scope_kind, overlay.scope_slug).as_json(),
        },
    )
