"""Queries of the rulebook, each scoped to one tenant. `policies.deciding.rulebook` loads the rules for a decision."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import BigIntegerField, Case, Max, Model, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from policies.deciding.effective_rules import Binding
from policies.deciding.stored_decision import stored_facts
from policies.documents.calendar import parse_calendar
from policies.documents.overlay import SCOPE_KINDS, OverlayScope
from policies.documents.workflow import DEFAULT_MAX_PAYLOAD_BYTES, WorkflowDocument, workflow_from_spec
from policies.language.approvals import ApprovalRule
from policies.language.working_time import DEFAULT_CALENDAR, WorkingCalendar
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus, ReplayStatus
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
from threada_site.database.case_visibility import Names
from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.kernel.documents.key_order import in_order_of
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.models import PeopleGroup
from threada_site.tenancy.versioned_documents import DocumentSource

__all__ = ["WorkflowDocument", "WorkflowInForce"]

_workflow_documents: Final = WeightedCache[uuid.UUID, WorkflowDocument](max_weight=4 * 1024 * 1024)
"""Weighted by bytes of JSON; a document takes about ten times as much memory."""
_OWN_WEIGHT: Final = 2_000


@dataclass(frozen=True, slots=True)
class WorkflowInForce:
    """Current version of a workflow. `channel_exists` is about the requested channel."""

    workflow_id: uuid.UUID
    name: str
    version_id: uuid.UUID
    document: WorkflowDocument
    channel_exists: bool


type WorkflowRow = tuple[uuid.UUID, str, uuid.UUID, bool]


def workflow_query(*, tenant: str, workflow: str, channel: str) -> str:
    """Return the SQL for a `WorkflowRow`. The arguments are SQL."""
    return (
        "SELECT w.id, w.name, w.current_version_id, EXISTS "
        f"(SELECT 1 FROM policies_channel c WHERE c.tenant_id = w.tenant_id AND c.slug = {channel}) "
        "FROM policies_workflow w "
        f"WHERE w.tenant_id = {tenant} AND w.slug = {workflow} AND w.current_version_id IS NOT NULL"
    )


_WORKFLOW: Final = workflow_query(tenant="$2", workflow="$3", channel="$1")


def workflow_in_force(
    slug: str, *, channel: str | None, ctx: ActingContext, row: WorkflowRow | None = None
) -> WorkflowInForce | None:
    """Return the current version of the workflow, or None. Takes one statement, plus one for an uncached version.

    `row`: the row about this workflow and channel, if it was read in this transaction already.
    """
    if row is None:
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(_WORKFLOW, [channel, ctx.tenant_id, slug])
            row = cursor.fetchone()
    if row is None:
        return None
    workflow_id, name, version_id, channel_exists = row
    return WorkflowInForce(workflow_id, name, version_id, workflow_document(version_id, ctx=ctx), channel_exists)


def largest_payload(*, ctx: ActingContext) -> int:
    """Return the largest payload in bytes that some version of a workflow accepts; open cases keep their version."""
    limit = Cast(KeyTextTransform("max_payload_bytes", "spec"), BigIntegerField())
    rows = WorkflowVersion.objects.filter(tenant_id=ctx.tenant_id)
    found: int | None = rows.aggregate(most=Max(limit))["most"]
    return DEFAULT_MAX_PAYLOAD_BYTES if found is None else found


def workflow_document(version_id: uuid.UUID, *, ctx: ActingContext) -> WorkflowDocument:
    """Return the document of a workflow version. Versions are immutable, so each process reads one once."""
    document = _workflow_documents.get(version_id)
    if document is None:
        written = DocumentSource.objects.filter(
            tenant_id=OuterRef("tenant_id"),
            kind="Workflow",
            name=OuterRef("workflow__slug"),
            spec_sha256=OuterRef("spec_sha256"),
        )
        rows = WorkflowVersion.objects.annotate(text=Subquery(written.values("text")))
        spec, text = rows.values_list("spec", "text").get(tenant_id=ctx.tenant_id, id=version_id)
        document = workflow_from_spec(in_order_of(spec, _spec_in(text)))
        _workflow_documents.put(version_id, document, weight=len(json.dumps(spec)) + _OWN_WEIGHT)
    return document


def _spec_in(text: str | None) -> Any:
    """Return the spec in the text of a document, for the order of its keys; None if there is none."""
    try:
        documents = load_documents(text or "", source="document")
    except DocumentInvalid:
        return None
    value = documents[0].value if documents else None
    return value.get("spec", value) if isinstance(value, dict) else None


def all_workflows(ctx: ActingContext) -> QuerySet[Workflow]:
    """Return every workflow of the tenant with its current version, regardless of what `ctx` may read."""
    rows = Workflow.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    return rows.select_related("current_version")


def workflows(ctx: ActingContext) -> QuerySet[Workflow]:
    """Return the workflows that the context may read, with their current versions."""
    granted = ctx.workflows_with(Scope.WORKITEMS_READ)
    rows = all_workflows(ctx)
    return rows if granted is None else rows.filter(id__in=granted)


def readable_actions(ctx: ActingContext) -> frozenset[str]:
    """Return the names of all actions that the readable workflows allow."""
    specs = workflows(ctx).values_list("current_version__spec", flat=True)
    return frozenset(action for spec in specs if spec for action in spec.get("actions", ()))


def allowed_actions(tenant_id: uuid.UUID) -> frozenset[str]:
    """Return the names of all actions that a workflow of the tenant allows, whoever asks."""
    rows = Workflow.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    specs = rows.values_list("current_version__spec__actions", flat=True)
    return frozenset(action for actions in specs for action in actions or ())


def workflow_by_slug(slug: str, *, ctx: ActingContext) -> Workflow | None:
    """Return one of `workflows`, or None."""
    return workflows(ctx).filter(slug=slug).first()


def workflow_versions(workflow: Workflow) -> QuerySet[WorkflowVersion]:
    """Return all versions of a workflow."""
    return WorkflowVersion.objects.filter(tenant_id=workflow.tenant_id, workflow=workflow).select_related("workflow")


def channels(ctx: ActingContext) -> QuerySet[Channel]:
    """Return all channels."""
    return Channel.objects.filter(tenant_id=ctx.tenant_id)


def channel_by_slug(slug: str, *, ctx: ActingContext) -> Channel | None:
    """Return one of `channels`, or None."""
    return channels(ctx).filter(slug=slug).first()


def lists(ctx: ActingContext) -> QuerySet[List]:
    """Return all lists with their current versions."""
    return List.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).select_related("current_version")


def policies(ctx: ActingContext) -> QuerySet[Policy]:
    """Return all policies with their versions in force."""
    return Policy.objects.filter(tenant_id=ctx.tenant_id).select_related("in_force")


def policies_with_emergencies(ctx: ActingContext) -> QuerySet[Policy]:
    """Return all policies without documents, with their unconfirmed emergency publications, for lists."""
    return policies(ctx).defer("in_force__document").prefetch_related("in_force__emergencies")


def unconfirmed_emergencies(ctx: ActingContext) -> QuerySet[EmergencyPublication]:
    """Return the announced and the unconfirmed emergency publications, ordered by their end."""
    unconfirmed = [EmergencyStatus.ANNOUNCED, EmergencyStatus.OPEN]
    rows = EmergencyPublication.objects.filter(tenant_id=ctx.tenant_id, status__in=unconfirmed)
    return rows.select_related("version__policy").defer("version__document").order_by("ends_at", "id")


def policy_by_slug(slug: str, *, ctx: ActingContext) -> Policy | None:
    """Return one of `policies`, or None."""
    return policies(ctx).filter(slug=slug).first()


def policy_versions(policy: Policy) -> QuerySet[PolicyVersion]:
    """Return all versions of a policy."""
    return PolicyVersion.objects.filter(tenant_id=policy.tenant_id, policy=policy).select_related("policy")


def policy_version_named(policy: Policy, name: str) -> PolicyVersion | None:
    """Return the version of `policy` by its number (`3`) or public id (`pv_…`), or None."""
    version_id = ids.parse_public_id(ids.POLICY_VERSION, name)
    if version_id is not None:
        return policy_versions(policy).filter(id=version_id).first()
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        return None
    return policy_versions(policy).filter(number=int(name)).first()


def overlays(ctx: ActingContext) -> QuerySet[Overlay]:
    """Return all overlays with their policies and the versions in force."""
    return Overlay.objects.filter(tenant_id=ctx.tenant_id).select_related("policy__in_force")


def overlay_on(policy: str, scope: OverlayScope, *, ctx: ActingContext) -> Overlay | None:
    """Return the overlay that binds `policy` to exactly this scope, or None."""
    return overlays(ctx).filter(policy__slug=policy, scope_kind=scope.kind, scope_slug=scope.slug).first()


def applying(
    rows: QuerySet[Overlay],
    *,
    workflow: str,
    channel: str = "",
    groups: Collection[str] = (),
    at: datetime | None = None,
) -> QuerySet[Overlay]:
    """Return the overlays in `rows` that apply to work items of this workflow and channel, widest scope first.

    `groups` are the groups of the requester. Without `at`, past and future time windows are included.
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
    """Return the bindings of overlays: the versions in force with their rules."""
    found = []
    for overlay in rows:
        version = overlay.policy.in_force
        version_fields = (version.public_id, version.number, version.document["rules"]) if version else ()
        found.append(Binding(overlay.policy.slug, overlay.public_id, overlay.scope, overlay.window, *version_fields))
    return found


def packs(ctx: ActingContext) -> QuerySet[Pack]:
    """Return all installed packs with their current versions."""
    return Pack.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).select_related("current_version")


def pack_by_slug(slug: str, *, ctx: ActingContext) -> Pack | None:
    """Return one of `packs`, or None."""
    return packs(ctx).filter(slug=slug).first()


def pack_members(ctx: ActingContext) -> QuerySet[PackMember]:
    """Return the members of all packs, each with its pack."""
    return PackMember.objects.filter(tenant_id=ctx.tenant_id).select_related("pack")


def requester_groups(requester_id: uuid.UUID, *, tenant_id: uuid.UUID) -> tuple[str, ...]:
    """Return the slugs of the groups of a principal, a fact of decisions about their requests."""
    rows = PeopleGroup.objects.filter(
        tenant_id=tenant_id, memberships__membership__user_id=requester_id, memberships__membership__tenant_id=tenant_id
    )
    return tuple(rows.order_by("slug").values_list("slug", flat=True))


def group_exists(slug: str, *, tenant_id: uuid.UUID) -> bool:
    """Return True if the tenant has this group."""
    return PeopleGroup.objects.filter(tenant_id=tenant_id, slug=slug).exists()


def decision_for(decision_id: uuid.UUID, *, ctx: ActingContext) -> PolicyDecision | None:
    """Return the decision if it is about a work item that the context may read, else None."""
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id=decision_id)
    decision = rows.first()
    reads_tenant = Scope.WORKITEMS_READ in ctx.scopes
    if decision is None or (reads_tenant and ctx.visibility is Visibility.TENANT):
        return decision
    granted = all_workflows(ctx).filter(id__in=ctx.granted_workflows(Scope.WORKITEMS_READ))
    workflow = stored_facts(decision).get("item", {}).get("workflow", "")  # retention removes it
    is_readable = granted.filter(slug=workflow).exists() or (
        reads_tenant and rows.filter(Names("work_item_id", ctx.principal_id)).exists()
    )
    return decision if is_readable else None


def latest_decision(
    work_item_id: uuid.UUID, *, ctx: ActingContext, execution_id: uuid.UUID | None = None
) -> PolicyDecision | None:
    """Return the latest decision about a work item, or about one of its executions."""
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, work_item_id=work_item_id)
    if execution_id is not None:
        rows = rows.filter(execution_id=execution_id)
    return rows.order_by("-id").first()


def latest_intake_decision(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> PolicyDecision | None:
    """Return the latest decision at intake about a work item, without its facts and trace, or None."""
    rows = PolicyDecision.objects.filter(tenant_id=tenant_id, work_item_id=work_item_id, point="intake")
    return rows.defer("facts", "trace").order_by("-id").first()


def replays(ctx: ActingContext) -> QuerySet[PolicyReplay]:
    """Return all replays with their policies and versions; none for principals that see only their own cases."""
    rows = _for_readers_of_the_tenant(PolicyReplay.objects.filter(tenant_id=ctx.tenant_id), ctx=ctx)
    return rows.select_related("policy", "policy_version__policy", "baseline__policy")


def running_replays(tenant_id: uuid.UUID) -> QuerySet[PolicyReplay]:
    """Return the replays of a tenant that run or wait to run."""
    return PolicyReplay.objects.filter(tenant_id=tenant_id, status__in=[ReplayStatus.REQUESTED, ReplayStatus.RUNNING])


def drafts(tenant_id: uuid.UUID) -> QuerySet[PolicyVersion]:
    """Return the drafts of all policies of a tenant."""
    return PolicyVersion.objects.filter(tenant_id=tenant_id, status=PolicyVersionStatus.DRAFT)


def shadows(ctx: ActingContext) -> QuerySet[PolicyShadow]:
    """Return all shadows with their policies and versions; none for principals that see only their own cases."""
    rows = _for_readers_of_the_tenant(PolicyShadow.objects.filter(tenant_id=ctx.tenant_id), ctx=ctx)
    return rows.select_related("policy", "policy_version__policy")


def _for_readers_of_the_tenant[M: Model](rows: QuerySet[M], *, ctx: ActingContext) -> QuerySet[M]:
    """Return `rows`, which report on cases of all requesters, or none of them."""
    return rows.none() if ctx.visibility is Visibility.OWN else rows


def calendar_of(tenant_id: uuid.UUID) -> Calendar | None:
    """Return the calendar of the tenant, or None."""
    return Calendar.objects.filter(tenant_id=tenant_id).first()


def working_calendar(rule: ApprovalRule, *, tenant_id: uuid.UUID) -> WorkingCalendar:
    """Return the calendar for the rule. Queries it only if the rule has durations in working time."""
    calendar = calendar_of(tenant_id) if rule.working_time else None
    return DEFAULT_CALENDAR if calendar is None else parse_calendar(calendar.document).calendar


def read_decisions_ahead(decision_ids: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> None:
    """Read several decisions, for `policy_decision` in `shared_reads`."""
    _decision.read_ahead([(tenant_id, decision_id) for decision_id in decision_ids])


def policy_decision(decision_id: uuid.UUID, *, tenant_id: uuid.UUID) -> PolicyDecision | None:
    """Return one decision, or None."""
    return _decision.first(tenant_id, decision_id)


_decision: Final = PreparedRead(lambda tenant, decision: PolicyDecision.objects.filter(tenant_id=tenant, id=decision))
