"""Reading the rulebook, always inside one tenant. What decides a case is loaded by `policies.deciding.rulebook`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connection
from django.db.models import Case, OuterRef, Q, QuerySet, Value, When

from policies.deciding.effective_rules import Binding
from policies.documents.calendar import parse_calendar
from policies.documents.overlay import SCOPE_KINDS, OverlayScope
from policies.documents.workflow import WorkflowDocument, workflow_from_spec
from policies.language.approvals import ApprovalRule
from policies.language.working_time import DEFAULT_CALENDAR, WorkingCalendar
from policies.lifecycle import ReplayStatus
from policies.models import (
    Calendar,
    Channel,
    EmergencyPublication,
    List,
    Overlay,
    Pack,
    PackMember,
    Policy,
    PolicyDecision,
    PolicyReplay,
    PolicyShadow,
    PolicyVersion,
    Workflow,
    WorkflowVersion,
)
from policies.publication import EmergencyStatus
from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.models import PeopleGroup

__all__ = ["WorkflowDocument", "WorkflowInForce"]

_workflow_documents: Final = WeightedCache[uuid.UUID, WorkflowDocument](max_weight=1000)


@dataclass(frozen=True, slots=True)
class WorkflowInForce:
    """What a new work item of a workflow must fit. `channel_exists` is about the channel that was asked for."""

    workflow_id: uuid.UUID
    version_id: uuid.UUID
    document: WorkflowDocument
    channel_exists: bool


def workflow_in_force(slug: str, *, channel: str | None, ctx: ActingContext) -> WorkflowInForce | None:
    """The workflow's current version, and whether `channel` exists: one statement, and one more the first time."""
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(
            "SELECT w.id, w.current_version_id, EXISTS "
            "(SELECT 1 FROM policies_channel c WHERE c.tenant_id = w.tenant_id AND c.slug = $1) "
            "FROM policies_workflow w "
            "WHERE w.tenant_id = $2 AND w.slug = $3 AND w.current_version_id IS NOT NULL",
            [channel, ctx.tenant_id, slug],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    workflow_id, version_id, channel_exists = row
    return WorkflowInForce(workflow_id, version_id, workflow_document(version_id, ctx=ctx), channel_exists)


def workflow_document(version_id: uuid.UUID, *, ctx: ActingContext) -> WorkflowDocument:
    """What a workflow version says. A version never changes, so a process reads it once."""
    document = _workflow_documents.get(version_id)
    if document is None:
        spec = WorkflowVersion.objects.values_list("spec", flat=True).get(tenant_id=ctx.tenant_id, id=version_id)
        document = workflow_from_spec(spec)
        _workflow_documents.put(version_id, document)
    return document


def all_workflows(ctx: ActingContext) -> QuerySet[Workflow]:
    """Every workflow of the tenant with its current version: for checks, whoever asks."""
    rows = Workflow.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    return rows.select_related("current_version")


def workflows(ctx: ActingContext) -> QuerySet[Workflow]:
    """Workflows that the context may read, with their current versions."""
    granted = ctx.workflows_with(Scope.WORKITEMS_READ)
    rows = all_workflows(ctx)
    return rows if granted is None else rows.filter(id__in=granted)


def workflow_by_slug(slug: str, *, ctx: ActingContext) -> Workflow | None:
    """One of `workflows`."""
    return workflows(ctx).filter(slug=slug).first()


def workflow_versions(workflow: Workflow) -> QuerySet[WorkflowVersion]:
    """All versions of a workflow."""
    return WorkflowVersion.objects.filter(tenant_id=workflow.tenant_id, workflow=workflow).select_related("workflow")


def channels(ctx: ActingContext) -> QuerySet[Channel]:
    """All channels."""
    return Channel.objects.filter(tenant_id=ctx.tenant_id)


def channel_by_slug(slug: str, *, ctx: ActingContext) -> Channel | None:
    """One of `channels`."""
    return channels(ctx).filter(slug=slug).first()


def lists(ctx: ActingContext) -> QuerySet[List]:
    """All lists with their current versions."""
    return List.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).select_related("current_version")


def policies(ctx: ActingContext) -> QuerySet[Policy]:
    """All policies with the versions in force."""
    return Policy.objects.filter(tenant_id=ctx.tenant_id).select_related("in_force")


def policies_with_emergencies(ctx: ActingContext) -> QuerySet[Policy]:
    """The same without documents, for lists that say whether an emergency publication waits to be confirmed."""
    return policies(ctx).defer("in_force__document").prefetch_related("in_force__emergencies")


def unconfirmed_emergencies(ctx: ActingContext) -> QuerySet[EmergencyPublication]:
    """Emergency publications that no second person has confirmed, the one that ends first before the others."""
    rows = EmergencyPublication.objects.filter(tenant_id=ctx.tenant_id, status=EmergencyStatus.OPEN)
    return rows.select_related("version__policy").defer("version__document").order_by("ends_at", "id")


def policy_by_slug(slug: str, *, ctx: ActingContext) -> Policy | None:
    """One of `policies`."""
    return policies(ctx).filter(slug=slug).first()


def policy_versions(policy: Policy) -> QuerySet[PolicyVersion]:
    """All versions of a policy."""
    return PolicyVersion.objects.filter(tenant_id=policy.tenant_id, policy=policy).select_related("policy")


def policy_version_named(policy: Policy, name: str) -> PolicyVersion | None:
    """The version of `policy` that `name` means: its number (`3`) or its public id (`pv_…`)."""
    version_id = ids.parse_public_id(ids.POLICY_VERSION, name)
    if version_id is not None:
        return policy_versions(policy).filter(id=version_id).first()
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        return None
    return policy_versions(policy).filter(number=int(name)).first()


def overlays(ctx: ActingContext) -> QuerySet[Overlay]:
    """All overlays with their policies and the versions in force."""
    return Overlay.objects.filter(tenant_id=ctx.tenant_id).select_related("policy__in_force")


def overlay_on(policy: str, scope: OverlayScope, *, ctx: ActingContext) -> Overlay | None:
    """The overlay that binds `policy` in exactly this scope."""
    return overlays(ctx).filter(policy__slug=policy, scope_kind=scope.kind, scope_slug=scope.slug).first()


def applying(
    rows: QuerySet[Overlay],
    *,
    workflow: str,
    channel: str = "",
    groups: Collection[str] = (),
    at: datetime | None = None,
) -> QuerySet[Overlay]:
    """Those of `rows` that apply to work items of this workflow and channel, the widest first.

    `groups` are those of the requester; without `at`, those that applied once or will are told too.
    """
    scopes = Q(scope_kind="tenant") | Q(scope_kind="workflow", scope_slug=workflow)
    if channel:
        scopes |= Q(scope_kind="channel", scope_slug=channel)
    owning = PackMember.objects.filter(kind="Workflow", name=workflow).values("pack__slug")
    scopes |= Q(scope_kind="pack", scope_slug__in=owning.filter(tenant_id=OuterRef("tenant_id")))
    if groups:
        scopes |= Q(scope_kind="group", scope_slug__in=groups)
    if at is not None:
        rows = rows.filter(Q(starts_at=None) | Q(starts_at__lte=at), Q(ends_at=None) | Q(ends_at__gt=at))
    width = Case(*(When(scope_kind=kind, then=Value(place)) for place, kind in enumerate(SCOPE_KINDS)))
    return rows.filter(scopes).order_by(width, "policy__slug", "scope_slug")


def bindings(rows: Iterable[Overlay]) -> list[Binding]:
    """What overlays bring to bear: the versions in force with their rules."""
    found = []
    for overlay in rows:
        version = overlay.policy.in_force
        version_fields = (version.public_id, version.number, version.document["rules"]) if version else ()
        found.append(Binding(overlay.policy.slug, overlay.public_id, overlay.scope, overlay.window, *version_fields))
    return found


def packs(ctx: ActingContext) -> QuerySet[Pack]:
    """All packs that are installed, with their current versions."""
    return Pack.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).select_related("current_version")


def pack_by_slug(slug: str, *, ctx: ActingContext) -> Pack | None:
    """One of `packs`."""
    return packs(ctx).filter(slug=slug).first()


def pack_members(ctx: ActingContext) -> QuerySet[PackMember]:
    """What belongs to packs, each with its pack."""
    return PackMember.objects.filter(tenant_id=ctx.tenant_id).select_related("pack")


def requester_groups(requester_id: uuid.UUID, *, tenant_id: uuid.UUID) -> tuple[str, ...]:
    """The groups that a principal is in, by slug: a fact of what is decided for them."""
    rows = PeopleGroup.objects.filter(
        tenant_id=tenant_id, memberships__membership__user_id=requester_id, memberships__membership__tenant_id=tenant_id
    )
    return tuple(rows.order_by("slug").values_list("slug", flat=True))


def group_exists(slug: str, *, tenant_id: uuid.UUID) -> bool:
    """Whether the tenant has this group of people."""
    return PeopleGroup.objects.filter(tenant_id=tenant_id, slug=slug).exists()


def decision_for(decision_id: uuid.UUID, *, ctx: ActingContext) -> PolicyDecision | None:
    """A decision about a work item that the context may read."""
    decision = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id=decision_id).first()
    if decision is None or ctx.workflows_with(Scope.WORKITEMS_READ) is None:
        return decision
    is_readable = workflows(ctx).filter(slug=stored_facts(decision)["item"]["workflow"]).exists()
    return decision if is_readable else None


def latest_decision(
    work_item_id: uuid.UUID, *, ctx: ActingContext, execution_id: uuid.UUID | None = None
) -> PolicyDecision | None:
    """What was decided last about a work item, or about one execution on it."""
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, work_item_id=work_item_id)
    if execution_id is not None:
        rows = rows.filter(execution_id=execution_id)
    return rows.order_by("-id").first()


def stored_facts(decision: PolicyDecision) -> dict[str, Any]:
    """The facts a decision was taken on, but for `lists`: those it names by version."""
    return orjson.loads(bytes(decision.facts))


def replays(ctx: ActingContext) -> QuerySet[PolicyReplay]:
    """All replays with the policies and versions they are about."""
    rows = PolicyReplay.objects.filter(tenant_id=ctx.tenant_id)
    return rows.select_related("policy", "policy_version__policy", "baseline__policy")


def finished_replay_of(version: PolicyVersion, *, ctx: ActingContext) -> PolicyReplay | None:
    """The newest replay of exactly what `version` says that came to its end: what its publication can rest on."""
    rows = replays(ctx).filter(
        policy_id=version.policy_id, document_sha256=version.document_sha256, status=ReplayStatus.FINISHED
    )
    return rows.order_by("-id").first()


def shadows(ctx: ActingContext) -> QuerySet[PolicyShadow]:
    """All shadows with the policies and versions they are about."""
    rows = PolicyShadow.objects.filter(tenant_id=ctx.tenant_id)
    return rows.select_related("policy", "policy_version__policy")


def calendar_of(tenant_id: uuid.UUID) -> Calendar | None:
    """The tenant's calendar, if it has one."""
    return Calendar.objects.filter(tenant_id=tenant_id).first()


def working_calendar(rule: ApprovalRule, *, tenant_id: uuid.UUID) -> WorkingCalendar:
    """What the rule's working time is counted by; looked up only where it has any."""
    calendar = calendar_of(tenant_id) if rule.working_time else None
    return DEFAULT_CALENDAR if calendar is None else parse_calendar(calendar.document).calendar


def policy_decision(decision_id: uuid.UUID, *, tenant_id: uuid.UUID) -> PolicyDecision | None:
    """One decision that was taken."""
    return _decision.first(tenant_id, decision_id)


_decision: Final = PreparedRead(lambda tenant, decision: PolicyDecision.objects.filter(tenant_id=tenant, id=decision))
