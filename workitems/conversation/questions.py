"""Questions to the requester: asked by people who decide, answered in text, withdrawn, expired.

The work item waits meanwhile. An answer changes nothing but the question: a payload is changed by `edit_payload`, which
supersedes the step and starts the decision again. Votes are accepted while a question is open, and close it.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

from policies import selectors as policy_selectors
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import commitment
from workitems import selectors
from workitems.approvers.count_votes import Eligibility
from workitems.approvers.step_votes import read_step_votes
from workitems.conversation import limits
from workitems.conversation.audience import hidden_from
from workitems.items.erasable_fields import require_contents
from workitems.items.receipts import record_item
from workitems.items.requester_questions import end_question
from workitems.lifecycle import WORK_ITEM, WorkItemStatus
from workitems.models import DecisionStep, RequesterQuestion, WorkItem
from workitems.notices.enqueue import conversation_notice
from workitems.search.changes import note_change
from workitems.steps.frozen_steps import is_frozen
from workitems.steps.pauses import has_expired, open_pausing, pause_left, pause_step, resume_step


def ask_question(item: WorkItem, text: str, *, ctx: ActingContext) -> RequesterQuestion:
    """Ask the requester of a locked, open work item. Receipt `question.asked`.

    The question pauses the deadlines of the pending step if the workflow says so, if the step has not expired, if the
    caller may still vote on it, and if the pauses of the item have not used up their time. Raises `PersonRequired`,
    `PermissionDenied`, `TransitionNotAllowed`, `ContentsRemoved`, `InvalidRequest`, `CommentTooLong`,
    `ConversationLimit`, `RateLimited`.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_may_ask(item, ctx=ctx)
    text = limits.checked_text(text)
    limits.check_rate(ctx=ctx)
    limits.check_questions(item, ctx=ctx)
    now = clock.now()
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    expires_at = now + document.question_time
    step = selectors.pending_step_of(item)
    may_pause = step is not None and document.questions_pause and not _is_over(step, now=now)
    left = pause_left(item, at_most=document.question_time) if may_pause else None
    pauses = step is not None and bool(left) and _may_vote(item, step, ctx=ctx)
    question = RequesterQuestion(
        tenant_id=item.tenant_id,
        work_item_id=item.id,
        step_id=step.id if step else None,
        asked_by_id=ctx.principal_id,
        text=text,
        pauses=pauses,
        asked_version=item.version,
        created_at=now,
        expires_at=expires_at,
    )
    item.open_questions += 1
    with batched_writes():
        insert_rows(question)
        note_change(item.id, tenant_id=item.tenant_id)
        update_row(item, "open_questions")
        if step is not None and left and pauses:
            pause_step(step, until=expires_at, left=left, now=now)
        record_item(
            "question.asked",
            item,
            ctx=ctx,
            inputs={
                "question_id": question.public_id,
                "text_commitment": commitment(bytes(question.text_salt), text),
                **({"decision_step_id": step.public_id} if step else {}),
                "expires_at": rfc3339(expires_at),
                "paused_until": rfc3339(step.pause_ends_at) if step and pauses and step.pause_ends_at else None,
            },
            outcome={"status": item.status, "question_status": "open"},
        )
        conversation_notice("question", item, hidden_from(item), ctx, occurrence=question.public_id)
    return question


def answer_question(item: WorkItem, question_id: uuid.UUID, text: str, *, ctx: ActingContext) -> RequesterQuestion:
    """Answer an open question about a locked work item. Receipt `question.answered`.

    The requester answers, the submitter, or the owner of an agent or service that is one of them. Raises `NotFound`,
    `PermissionDenied`, `QuestionClosed`, `InvalidRequest`, `CommentTooLong`.
    """
    require_unit_of_work(ctx.tenant_id)
    question = _locked(item, question_id, ctx=ctx)
    if not may_answer(item, ctx=ctx):
        raise errors.PermissionDenied("The requester answers this question, with workitems:write on the workflow.")
    _check_open(item, question)
    require_contents(item)
    text = limits.checked_text(text)
    question.answer, question.answer_salt = text, secrets.token_bytes(16)
    question.answered_by_id = ctx.principal_id
    question.answered_version = item.version
    note_change(item.id, tenant_id=item.tenant_id)
    _end(item, question, "answered", ctx=ctx, text=text)
    conversation_notice("answer", item, None, ctx, occurrence=question.public_id)
    return question


def withdraw_question(item: WorkItem, question_id: uuid.UUID, *, ctx: ActingContext) -> RequesterQuestion:
    """Withdraw an open question about a locked work item. Receipt `question.withdrawn`.

    Its author withdraws it, or a person with `workflow:manage`. Raises `NotFound`, `PermissionDenied`,
    `QuestionClosed`.
    """
    require_unit_of_work(ctx.tenant_id)
    question = _locked(item, question_id, ctx=ctx)
    manages = ctx.is_person and ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id)
    if question.asked_by_id != ctx.principal_id and not manages:
        raise errors.PermissionDenied("Its author, or a person with workflow:manage, withdraws a question.")
    if not question.is_open:
        raise errors.QuestionClosed(f"The question is {question.status}.")
    _end(item, question, "withdrawn", ctx=ctx)
    return question


def expire_question(item: WorkItem, question: RequesterQuestion, *, now: datetime, ctx: ActingContext) -> bool:
    """End a locked open question of a locked item that is overdue, or whose item has ended. Return False for others.

    Receipt `question.expired` or `question.closed`.
    """
    require_unit_of_work(ctx.tenant_id)
    if not question.is_open:
        return False
    if not WORK_ITEM.is_open(WorkItemStatus(item.status)):
        _end(item, question, "closed", ctx=ctx)
        return True
    if question.expires_at > now:
        return False
    _end(item, question, "expired", ctx=ctx)
    return True


def may_ask(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if `ask_question` accepts a question of the caller, apart from its text and limits."""
    try:
        _check_may_ask(item, ctx=ctx)
    except errors.ThreadaError:
        return False
    return True


def may_answer(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the caller is one of those whom questions about `item` ask."""
    may_write = ctx.allows(Scope.WORKITEMS_WRITE, workflow=item.workflow_version.workflow_id)
    return may_write and not ctx.is_system and ctx.principal_id in hidden_from(item)


def _check_may_ask(item: WorkItem, *, ctx: ActingContext) -> None:
    if not ctx.is_person:
        raise errors.PersonRequired("Only a person asks the requester. Services and agents write comments.")
    if not ctx.allows(Scope.DECISIONS_DECIDE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"Asking the requester needs decisions:decide on the workflow {item.workflow}.")
    if ctx.principal_id in hidden_from(item):
        raise errors.PermissionDenied("You requested this work item, or own the agent or service that did.")
    if not WORK_ITEM.is_open(WorkItemStatus(item.status)):
        raise errors.TransitionNotAllowed(f"The work item is {item.status}. Write a comment instead.")
    require_contents(item)


def _is_over(step: DecisionStep, *, now: datetime) -> bool:
    """Return True if the last deadline of a pending step has passed, and the sweep has not closed the step yet."""
    return has_expired(step, now=now) and not is_frozen(step)


def _may_vote(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> bool:
    votes = read_step_votes(step, workflow_id=item.workflow_version.workflow_id, acting=ctx)
    return votes.eligibility_of(ctx) is Eligibility.COUNTS and ctx.principal_id not in votes.voters


def _locked(item: WorkItem, question_id: uuid.UUID, *, ctx: ActingContext) -> RequesterQuestion:
    rows = RequesterQuestion.objects.select_for_update(of=("self",))
    question = rows.filter(tenant_id=ctx.tenant_id, work_item=item, id=question_id).first()
    if question is None:
        raise errors.NotFound
    return question


def _check_open(item: WorkItem, question: RequesterQuestion) -> None:
    if not question.is_open:
        raise errors.QuestionClosed(f"The question is {question.status}. Write a comment instead.")
    if question.expires_at <= clock.now():
        raise errors.QuestionClosed("The question has expired. Write a comment instead.")
    if not WORK_ITEM.is_open(WorkItemStatus(item.status)):
        raise errors.QuestionClosed(f"The work item is {item.status}. Write a comment instead.")


def _end(item: WorkItem, question: RequesterQuestion, status: str, *, ctx: ActingContext, text: str = "") -> None:
    """End a locked question, and the pause of the pending step unless another question continues it."""
    inputs = {"text_commitment": commitment(bytes(question.answer_salt or b""), text)} if text else {}
    end_question(item, question, status, ctx=ctx, work_item_version=item.version, **inputs)
    step = selectors.pending_step_of(item) if question.pauses else None
    if step is None or step.paused_at is None:
        return
    until = max(open_pausing(item).values_list("expires_at", flat=True), default=None)
    now = clock.now() if status != "expired" else min(clock.now(), question.expires_at)
    if until is None:
        resume_step(item, step, now=now, ctx=ctx)
    elif step.pause_ends_at is not None and until < step.pause_ends_at:
        step.pause_ends_at = until
        step.save(update_fields=["pause_ends_at"])
