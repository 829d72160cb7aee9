"""Pauses of a step's deadlines while a question to the requester is open.

Nothing is due during a pause. After it each deadline has as much time left as before. All pauses of one work item
together last no longer than `questions.at_most` of its workflow, so that neither an approver who keeps asking nor a
requester who does not answer stalls a decision for ever. Time that a freeze and a pause share is counted once: the
freeze counts until the pause begins and from its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max, QuerySet, Sum

from integrations.freezes.block import freezes_in_force
from integrations.freezes.scope import moved
from policies import selectors as policy_selectors
from policies.language.approvals import from_json
from threada_site.database.batched_writes import update_row
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item, step_blocks
from workitems.items.requester_questions import open_questions
from workitems.models import DecisionStep, RequesterQuestion, WorkItem
from workitems.steps.due_dates import DEADLINES, after_pause
from workitems.steps.frozen_steps import place_of

_STATE = ("paused_at", "pause_ends_at", "resumed_at", "paused_s")


def pause_left(item: WorkItem, *, at_most: timedelta) -> timedelta:
    """Return the time for which steps of a locked item may still be paused. Runs one statement."""
    steps = DecisionStep.objects.filter(tenant_id=item.tenant_id, work_item=item)
    used = steps.aggregate(used=Sum("paused_s"))["used"] or 0
    return max(at_most - timedelta(seconds=used), timedelta())


def pause_step(step: DecisionStep, *, until: datetime, left: timedelta, now: datetime) -> None:
    """Pause the deadlines of a locked, pending step until `until`, for at most `left`. Extends a pause in progress."""
    if step.paused_at is None:
        _count_freeze(step, now=now)
        step.paused_at = now
    step.pause_ends_at = min(until, step.paused_at + left)
    step.save(update_fields=[*DEADLINES, "paused_at", "pause_ends_at"])


def pause_new_step(item: WorkItem, step: DecisionStep, *, now: datetime, ctx: ActingContext) -> None:
    """Pause a step that is about to be inserted, if a question that pauses deadlines is open."""
    open_until = open_pausing(item).aggregate(until=Max("expires_at"))["until"]
    if open_until is None or open_until <= now:
        return
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    left = pause_left(item, at_most=document.question_time)
    if left:
        step.paused_at, step.pause_ends_at = now, min(open_until, now + left)


def resume_step(item: WorkItem, step: DecisionStep, *, now: datetime, ctx: ActingContext) -> None:
    """End the pause of a locked, pending step: move its deadlines. Receipt `decision_step.deadlines_moved`."""
    if step.paused_at is None or step.pause_ends_at is None:
        return
    since, until = step.paused_at, min(now, step.pause_ends_at)
    rule = from_json(step.rule)
    calendar = policy_selectors.working_calendar(rule, tenant_id=step.tenant_id)
    for name in DEADLINES:
        deadline = getattr(step, name)
        if deadline is not None:
            setattr(step, name, after_pause(name, deadline, rule, calendar, since=since, until=until))
    _note_end(step, until=until)
    step.save(update_fields=[*DEADLINES, *_STATE])
    blocks = step_blocks(step)
    blocks["inputs"]["paused_s"] = round((until - since).total_seconds(), 3)
    record_item(
        "decision_step.deadlines_moved",
        item,
        ctx=ctx,
        execution=step.execution,
        **blocks,
        outcome={
            "status": step.status,
            **{name: rfc3339(value) for name in DEADLINES if (value := getattr(step, name)) is not None},
        },
    )


def end_pause(step: DecisionStep, *, now: datetime) -> None:
    """End the pause of a step that was closed. Its deadlines no longer matter; the time counts for the item."""
    if step.paused_at is not None and step.pause_ends_at is not None:
        _note_end(step, until=min(now, step.pause_ends_at))
        update_row(step, *_STATE)


def is_pause_over(step: DecisionStep, *, now: datetime) -> bool:
    """Return True if the latest end of the step's pause has come."""
    return step.pause_ends_at is not None and step.pause_ends_at <= now


def is_paused(step: DecisionStep, *, now: datetime) -> bool:
    """Return True if the deadlines of a step are paused at `now`."""
    return step.paused_at is not None and not is_pause_over(step, now=now)


def has_expired(step: DecisionStep, *, now: datetime) -> bool:
    """Return True if the last deadline of a step has passed. A pause that is over counts, even if no sweep ran."""
    if step.expires_at is None or is_paused(step, now=now):
        return False
    paused = step.pause_ends_at - step.paused_at if step.paused_at and step.pause_ends_at else timedelta()
    return step.expires_at + paused <= now


def open_pausing(item: WorkItem) -> QuerySet[RequesterQuestion]:
    """Return the open questions of an item that pause deadlines."""
    return open_questions(item).filter(pauses=True)


def _note_end(step: DecisionStep, *, until: datetime) -> None:
    assert step.paused_at is not None  # noqa: S101  (callers have checked it)
    step.paused_s += max(0, round((until - step.paused_at).total_seconds()))
    step.resumed_at, step.paused_at, step.pause_ends_at = until, None, None


def _count_freeze(step: DecisionStep, *, now: datetime) -> None:
    """Move deadlines that passed during a freeze in force, by its time up to the pause."""
    covering = [row.set_at for row in freezes_in_force(step.tenant_id) if row.scope.covers(place_of(step))]
    if not covering:
        return
    since = max(min(covering), step.resumed_at or min(covering))
    for name in DEADLINES:
        setattr(step, name, moved(getattr(step, name), since=since, until=now, opened_at=step.opened_at))
