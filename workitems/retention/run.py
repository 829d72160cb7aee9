"""Retention runs: a dry run shows what is due; a run removes it in batches, and nothing else.

A batch is one transaction: select, archive, remove, count, write the receipt. It may be killed at any time, repeated,
and run concurrently.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from telemetry.models import Receipt
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.receipts.remove import remove_receipts
from threada_site.database.bulk_delete import delete_rows
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors.retention import ArchiveOutdated
from threada_site.personal_data.erasable_fields import BY_RETENTION
from workitems.models import RetentionRuleVersion, RetentionRun, WorkItem
from workitems.retention.archive import Archived, archive_batch
from workitems.retention.archive_ahead import Ahead, archive_target
from workitems.retention.case_tables import (
    case_tables,
    emptied,
    forget_words,
    has_contents,
    rows_of,
    tables_with_contents,
)
from workitems.retention.dry_run import rules_with_counts
from workitems.retention.due import Phase, count_due, due_items, rules_in_force
from workitems.retention.locks import lock_retention
from workitems.retention.rules import Rule, rule_for, rule_from_spec

BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """Result of one batch. `is_last`: nothing that the dry run showed is left."""

    contents: int = 0
    cases: int = 0
    receipts: int = 0
    is_last: bool = False


def plan_retention(*, now: datetime, ctx: ActingContext) -> RetentionRun:
    """Create a dry run of what is due at `now`. It replaces an earlier dry run that was not started.

    Nothing is removed. Receipt `retention.planned`. Raise `PermissionDenied`, `Conflict` (a run is in progress).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    earlier = open_run(ctx.tenant_id)
    if earlier is not None and earlier.status == "running":
        raise errors.Conflict("A run is in progress. Continue it with manage.py retention.")
    if earlier is not None:
        earlier.status = "superseded"
        earlier.save(update_fields=["status"])
    shown = rules_with_counts(now=now, ctx=ctx)
    run = RetentionRun.objects.create(
        tenant_id=ctx.tenant_id,
        as_of=now,
        rules=shown,
        planned_contents=sum(rule["contents"] for rule in shown),
        planned_cases=sum(rule["cases"] for rule in shown),
        planned_by=None if ctx.is_system else ctx.principal_id,
    )
    _record("retention.planned", run, {"contents": run.planned_contents, "cases": run.planned_cases}, ctx=ctx)
    return run


def prepare(*, now: datetime, notice: timedelta, ctx: ActingContext) -> bool:
    """Create the dry run of an automatic run if data is due. Return True if a batch may be taken now.

    A batch may be taken when the dry run is older than `notice` or its run has started.
    """
    run = open_run(ctx.tenant_id)
    if run is None:
        latest = RetentionRun.objects.filter(tenant_id=ctx.tenant_id).order_by("-id").first()
        if (latest is None or latest.created_at <= now - notice) and anything_due(now=now, ctx=ctx):
            plan_retention(now=now, ctx=ctx)
        return False
    return run.status == "running" or run.as_of <= now - notice


def anything_due(*, now: datetime, ctx: ActingContext) -> bool:
    """Return True if a dry run at `now` would show anything."""
    rules = rules_in_force(ctx.tenant_id)
    phases: tuple[Phase, ...] = ("remove_contents", "remove_case")
    return any(count_due(rule, rules, phase, as_of=now, tenant_id=ctx.tenant_id) for rule in rules for phase in phases)


def open_run(tenant_id: uuid.UUID) -> RetentionRun | None:
    """Return the current dry run or the run in progress."""
    return RetentionRun.objects.filter(tenant_id=tenant_id, status__in=["planned", "running"]).first()


@dataclass(frozen=True, slots=True)
class Due:
    """Cases of the next batch, and those among them that must be archived first."""

    phase: Phase
    items: list[WorkItem]
    archived: list[WorkItem]


def apply_batch(*, now: datetime, ctx: ActingContext, size: int = BATCH, ahead: Ahead | None = None) -> Batch:
    """Remove the next batch that the dry run showed: first contents, then whole cases with their receipts.

    `ahead` is the batch's archive on another machine. Raise `PermissionDenied`, `RetentionNotShown`,
    `ArchiveUnavailable` and `ArchiveOutdated` (nothing was changed).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    run = open_run(ctx.tenant_id)
    if run is None:
        raise errors.RetentionNotShown
    due = due_batch(run, now=now, size=size)
    if due is None:
        _finish(run, now=now, ctx=ctx)
        return Batch(is_last=True)
    kept = _archived(run, due, ahead, ctx=ctx)
    take = _take_contents if due.phase == "remove_contents" else _take_cases
    return take(run, due.items, kept, now=now, ctx=ctx)


def due_batch(run: RetentionRun, *, now: datetime, size: int) -> Due | None:
    """Return the locked cases of the next batch; None if nothing that the dry run showed is left."""
    shown, in_force = shown_rules(run), rules_in_force(run.tenant_id)
    phases: tuple[Phase, ...] = ("remove_contents", "remove_case")
    for phase in phases:
        items = _next_items(run, shown, in_force, phase, now=now, size=size)
        if items:
            return Due(phase, items, _archived_among(items, shown, in_force))
    return None


def note_failure(detail: str, *, ctx: ActingContext) -> None:
    """Store the reason of a failure on the open run. The next run continues from there."""
    require_unit_of_work(ctx.tenant_id)
    open_runs = RetentionRun.objects.filter(tenant_id=ctx.tenant_id, status__in=["planned", "running"])
    open_runs.update(failure=detail)


def shown_rules(run: RetentionRun) -> list[Rule]:
    """Return the rule versions of the dry run."""
    numbered = {ids.parse_public_id(ids.RETENTION_VERSION, rule["version_id"]): rule["rule"] for rule in run.rules}
    versions = RetentionRuleVersion.objects.filter(tenant_id=run.tenant_id, id__in=list(numbered))
    return [
        rule_from_spec(version.spec, slug=numbered[version.id], version_id=version.public_id, number=version.number)
        for version in versions
    ]


def _next_items(
    run: RetentionRun, shown: Sequence[Rule], in_force: Sequence[Rule], phase: Phase, *, now: datetime, size: int
) -> list[WorkItem]:
    due = due_items(shown, in_force, phase, as_of=run.as_of, now=now, tenant_id=run.tenant_id)
    return list(due.select_for_update(of=("self",)).order_by("id")[:size])


def _archived_among(items: Sequence[WorkItem], *versions: Sequence[Rule]) -> list[WorkItem]:
    """Return the items that the shown or the current rules archive first."""
    return [
        item
        for item in items
        if any(
            rule is not None and rule.then == "archive"
            for rule in (rule_for(rules, workflow=item.workflow, data_class=item.data_class) for rules in versions)
        )
    ]


def _take_contents(
    run: RetentionRun, items: Sequence[WorkItem], kept: Archived | None, *, now: datetime, ctx: ActingContext
) -> Batch:
    item_ids = [item.id for item in items]
    empty_contents(item_ids, by=BY_RETENTION, ctx=ctx)
    emptied_items = WorkItem.objects.filter(tenant_id=ctx.tenant_id, id__in=item_ids)
    emptied_items.update(contents_removed_at=now, external_ref="", related_key="")
    batch = Batch(contents=len(items))
    _applied(run, batch, kept, now=now, ctx=ctx)
    return batch


def _take_cases(
    run: RetentionRun, items: Sequence[WorkItem], kept: Archived | None, *, now: datetime, ctx: ActingContext
) -> Batch:
    item_ids = [item.id for item in items]
    receipts = Receipt.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=item_ids)
    receipt_ids = list(receipts.values_list("id", flat=True))
    batch_id = ids.new_uuid()
    digest = remove_receipts(receipt_ids, batch_id=batch_id, ctx=ctx)
    with platform_role():
        for model, path in case_tables():
            delete_rows(rows_of(model, path, item_ids, tenant_id=ctx.tenant_id))
        forget_words(item_ids, tenant_id=ctx.tenant_id, is_kept=False)
        delete_rows(WorkItem.objects.filter(tenant_id=ctx.tenant_id, id__in=item_ids))
    batch = Batch(cases=len(items), receipts=len(receipt_ids))
    _applied(run, batch, kept, now=now, ctx=ctx, removal={"batch_id": str(batch_id), "removed_sha256": digest})
    return batch


def empty_contents(item_ids: Sequence[uuid.UUID], *, by: str, ctx: ActingContext) -> None:
    """Replace the contents of these cases with the erasure marker. Digests and ids remain."""
    with platform_role():
        for model, path, fields in tables_with_contents():
            rows = rows_of(model, path, item_ids, tenant_id=ctx.tenant_id)
            rows.filter(has_contents(fields)).update(**{field.attname: emptied(field, by=by) for field in fields})
        forget_words(item_ids, tenant_id=ctx.tenant_id)


def _archived(run: RetentionRun, due: Due, ahead: Ahead | None, *, ctx: ActingContext) -> Archived | None:
    if not due.archived:
        return None
    target = archive_target(ctx)
    if isinstance(target, Path):
        return archive_batch(target, run, due.phase, due.archived, ctx=ctx)
    if ahead is None or not ahead.contains(run, due.phase, due.archived, ctx=ctx):
        raise ArchiveOutdated("The archive does not match the current cases. Nothing was removed; try again.")
    return ahead.archived


def _applied(
    run: RetentionRun,
    batch: Batch,
    kept: Archived | None,
    *,
    now: datetime,
    ctx: ActingContext,
    removal: dict[str, str] | None = None,
) -> None:
    run.status = "running"
    run.started_at = run.started_at or now
    run.failure = ""
    run.archived = run.archived or kept is not None
    run.contents_removed += batch.contents
    run.cases_removed += batch.cases
    run.receipts_removed += batch.receipts
    run.batches += 1
    run.save()
    counts = {name: value for name, value in asdict(batch).items() if name != "is_last"}
    archive = {"archive": kept.as_json()} if kept else {}
    _record("retention.batch_applied", run, {**counts, **(removal or {}), **archive}, ctx=ctx)


def _finish(run: RetentionRun, *, now: datetime, ctx: ActingContext) -> None:
    run.status = "finished"
    run.started_at = run.started_at or now
    run.finished_at = now
    run.failure = ""
    run.save(update_fields=["status", "started_at", "finished_at", "failure"])
    counts = {
        "contents": run.contents_removed,
        "cases": run.cases_removed,
        "receipts": run.receipts_removed,
        "batches": run.batches,
    }
    _record("retention.run_finished", run, counts, ctx=ctx)


def _record(kind: str, run: RetentionRun, outcome: dict[str, Any], *, ctx: ActingContext) -> None:
    record(
        Entry(
            kind=kind,
            inputs={"retention_run_id": run.public_id, "as_of": rfc3339(run.as_of)},
            policy={
                "rules": [
                    {"rule": rule["rule"], "version_id": rule["version_id"], "number": rule["number"]}
                    for rule in run.rules
                ]
            },
            outcome=outcome,
        ),
        ctx=ctx,
    )
