"""Completeness of receipts: every case, execution, attempt, vote, decision and publication has the receipts it must,
and so has every act of the table in `acts`."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from django.db.models import Model, QuerySet

from integrations.models import Attempt, Execution
from policies.models import PolicyDecision, PolicyVersion
from telemetry.findings import Finding
from telemetry.models import Receipt
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant
from workitems.completeness.expected_receipts import ACTS, DELETIONS
from workitems.completeness.rules import CaseRows, missing_receipts
from workitems.models import DecisionStep, Vote, WorkItem

AT_ONCE: Final = 500
_CHUNK: Final = 2000


_TOLD_BY: Final = {
    "policy.published": ("policy.published", "policy.published_in_emergency"),
    "policy.retired": ("policy.retired", "policy.emergency_ended"),
}


def verify_completeness(tenant: Tenant, *, watch: Callable[[], None] = lambda: None) -> Iterator[Finding]:
    """What lacks a receipt. Belongs inside a unit of work; reads in batches, so memory stays flat."""
    for items in _batches(WorkItem.objects.filter(tenant_id=tenant.id).only("id", "status")):
        cases, bodies = _cases(tenant.id, items)
        for case in cases:
            watch()
            for act in missing_receipts(case, bodies.get(case.work_item_id, ())):
                yield Finding(tenant.slug, "act_without_receipt", str(act))
    for versions in _batches(PolicyVersion.objects.filter(tenant_id=tenant.id).exclude(status="draft")):
        yield from _unpublished(tenant, versions)
    yield from _acts_without_receipts(tenant)


def case_count(tenant: Tenant) -> int:
    """How many cases there are, for telling how far a verification is."""
    return WorkItem.objects.filter(tenant_id=tenant.id).count()


def _cases(tenant_id: uuid.UUID, items: Sequence[WorkItem]) -> tuple[list[CaseRows], dict[str, list[Any]]]:
    item_ids = [item.id for item in items]
    mine: dict[str, Any] = {"tenant_id": tenant_id, "work_item_id__in": item_ids}
    executions: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    owner: dict[uuid.UUID, uuid.UUID] = {}
    for row_id, item_id, status in Execution.objects.filter(**mine).values_list("id", "work_item_id", "status"):
        executions[item_id][ids.public_id(ids.EXECUTION, row_id)] = status
        owner[row_id] = item_id
    attempts: dict[uuid.UUID, list[tuple[str, int]]] = defaultdict(list)
    settled = Attempt.objects.filter(tenant_id=tenant_id, execution_id__in=owner).exclude(outcome="")
    for row_id, number in settled.values_list("execution_id", "number"):
        attempts[owner[row_id]].append((ids.public_id(ids.EXECUTION, row_id), number))
    steps: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    of_step: dict[uuid.UUID, uuid.UUID] = {}
    for row_id, item_id, status in DecisionStep.objects.filter(**mine).values_list("id", "work_item_id", "status"):
        steps[item_id][ids.public_id(ids.DECISION_STEP, row_id)] = status
        of_step[row_id] = item_id
    votes: dict[uuid.UUID, list[str]] = defaultdict(list)
    for row_id, step_id in Vote.objects.filter(tenant_id=tenant_id, step_id__in=of_step).values_list("id", "step_id"):
        votes[of_step[step_id]].append(ids.public_id(ids.VOTE, row_id))
    decisions: dict[uuid.UUID, list[str]] = defaultdict(list)
    for row_id, item_id in PolicyDecision.objects.filter(**mine).values_list("id", "work_item_id"):
        decisions[item_id].append(ids.public_id(ids.POLICY_DECISION, row_id))
    cases = [
        CaseRows(
            work_item_id=item.public_id,
            status=item.status,
            executions=executions[item.id],
            attempts=attempts[item.id],
            steps=steps[item.id],
            votes=votes[item.id],
            decisions=decisions[item.id],
        )
        for item in items
    ]
    return cases, _bodies(Receipt.objects.filter(**mine).order_by().values_list("work_item_id", "body"), ids.WORK_ITEM)


def _unpublished(tenant: Tenant, versions: Sequence[PolicyVersion]) -> Iterator[Finding]:
    kinds = [kind for told_by in _TOLD_BY.values() for kind in told_by]
    rows = Receipt.objects.filter(
        tenant_id=tenant.id, policy_version_id__in=[version.id for version in versions], kind__in=kinds
    )
    bodies = _bodies(rows.order_by().values_list("policy_version_id", "body"), ids.POLICY_VERSION)
    for version in versions:
        told = {body["kind"] for body in bodies.get(version.public_id, ())}
        acts = {
            "policy.published": version.published_at is not None,
            "policy.retired": version.retired_at is not None,
        }
        for kind, happened in acts.items():
            if happened and told.isdisjoint(_TOLD_BY[kind]):
                message = f"{version.public_id}: there is no receipt that says it was {kind.partition('.')[2]}"
                yield Finding(tenant.slug, "act_without_receipt", message)


def _acts_without_receipts(tenant: Tenant) -> Iterator[Finding]:
    told = _told(tenant)
    for act in ACTS:
        rows = act.model._default_manager.filter(act.happened, **{act.tenant: tenant.id}).order_by("pk")
        for columns in rows.values_list(*act.columns).iterator(chunk_size=_CHUNK):
            name = act.name(*columns)
            if name not in told[act]:
                yield Finding(tenant.slug, "act_without_receipt", f"{name}: there is no receipt {act.kind}")
    for deletion in DELETIONS:
        rows = deletion.model._default_manager.filter(tenant_id=tenant.id)
        present = {deletion.name(*columns) for columns in rows.values_list(*deletion.columns)}
        for name in sorted(told[deletion, deletion.made] - told[deletion, deletion.kind] - present):
            yield Finding(tenant.slug, "act_without_receipt", f"{name}: there is no receipt {deletion.kind}")


def _told(tenant: Tenant) -> defaultdict[Any, set[str]]:
    """The names that receipts tell of: by act, and by deletion and kind."""
    readers: dict[str, list[tuple[Any, Callable[[Any], str]]]] = defaultdict(list)
    for act in ACTS:
        for kind in (act.kind, *act.others):
            readers[kind].append((act, act.told))
    for deletion in DELETIONS:
        for kind in (deletion.kind, deletion.made):
            readers[kind].append(((deletion, kind), deletion.told))
    told: defaultdict[Any, set[str]] = defaultdict(set)
    rows = Receipt.objects.filter(tenant_id=tenant.id, kind__in=list(readers)).order_by()
    for kind, body in rows.values_list("kind", "body").iterator(chunk_size=_CHUNK):
        with suppress(orjson.JSONDecodeError):
            decoded = orjson.loads(bytes(body))
            for about, read in readers[kind]:
                with suppress(KeyError):
                    told[about].add(read(decoded))
    return told


def _bodies(rows: Any, prefix: str) -> dict[str, list[Any]]:
    """Decoded bodies by what they are about. What cannot be read tells nothing (and is found elsewhere)."""
    found: dict[str, list[Any]] = defaultdict(list)
    for about, body in rows.iterator():
        try:
            found[ids.public_id(prefix, about)].append(orjson.loads(bytes(body)))
        except orjson.JSONDecodeError:
            continue
    return found


def _batches[Row: Model](rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """The rows in the order of their ids, some at a time."""
    last: uuid.UUID | None = None
    while True:
        after = rows if last is None else rows.filter(id__gt=last)
        batch = list(after.order_by("id")[:AT_ONCE])
        if batch:
            yield batch
        if len(batch) < AT_ONCE:
            return
        last = batch[-1].pk
