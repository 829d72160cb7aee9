"""Recipients of notices about a conversation (mentioned and asked people, watchers and participants), and of those
about an overdue undo."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from integrations.models import Execution
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.members import Member, members
from threada_site.tenancy.models import User
from workitems.approvers.readers import readers_among
from workitems.models import Comment, Notice, RequesterQuestion, Vote, Watch, WorkItem
from workitems.notices.rules import Event


def concerned_without_step(notice: Notice) -> set[uuid.UUID]:
    """Return the people whom a notice concerns, whether or not they may read its work item."""
    if notice.kind == Event.UNDO_OVERDUE:
        return _managers(notice.work_item)
    actor = ids.parse_public_id(ids.PRINCIPAL, str(notice.facts.get("actor", "")))
    mentioned = {uuid.UUID(person) for person in notice.facts.get("mentioned", ())}
    found = _participants(notice.work_item) if notice.recipient_ids is None else set(notice.recipient_ids)
    return found - mentioned - {actor} if actor else found - mentioned


def readers_of_notice(notice: Notice, present: Iterable[Member]) -> list[Member]:
    """Return those of the members `present` who may read what a notice is about."""
    hidden_from = {uuid.UUID(person) for person in notice.facts.get("hidden_from", ())}
    return readers_among(notice.work_item, present, hidden_from=hidden_from)


def end_watches(item: WorkItem, people: Collection[uuid.UUID], present: Iterable[Member]) -> None:
    """End the watches of those of `people` who may no longer read `item`. `present` are the members among them."""
    gone = set(people) - {member.id for member in readers_among(item, present)}
    if gone:
        Watch.objects.filter(tenant_id=item.tenant_id, work_item=item, principal_id__in=gone).delete()


def watchers_of(item: WorkItem) -> set[uuid.UUID]:
    """Return the people who watch `item` and may read it. Runs one statement if nobody watches it."""
    people = set(Watch.objects.filter(tenant_id=item.tenant_id, work_item=item).values_list("principal_id", flat=True))
    if not people:
        return set()
    return {member.id for member in readers_among(item, members(item.tenant_id, among=people, humans_only=True))}


def is_overtaken_without_step(notice: Notice) -> bool:
    """Return True if a message would lead to nothing: the comment was removed, the question is no longer open, or
    the undo has ended."""
    if notice.kind == Event.UNDO_OVERDUE:
        execution_id = ids.parse_public_id(ids.EXECUTION, str(notice.facts.get("execution_id", "")))
        due = Execution.objects.filter(tenant_id=notice.tenant_id, undo_due_at__isnull=False)
        return execution_id is None or not due.filter(id=execution_id).exists()
    comment_id = ids.parse_public_id(ids.COMMENT, str(notice.facts.get("comment_id", "")))
    if comment_id is not None:
        return not Comment.objects.filter(tenant_id=notice.tenant_id, id=comment_id, removed_at=None).exists()
    if notice.kind != Event.QUESTION:
        return False
    question_id = ids.parse_public_id(ids.REQUESTER_QUESTION, notice.occurrence)
    questions = RequesterQuestion.objects.filter(tenant_id=notice.tenant_id, status="open")
    return question_id is None or not questions.filter(id=question_id).exists()


def actor_of(notice: Notice) -> str:
    """Return the name of the principal who wrote, or an empty text."""
    actor = ids.parse_public_id(ids.PRINCIPAL, str(notice.facts.get("actor", "")))
    return str(User.objects.filter(id=actor).first() or "") if actor is not None else ""


def _managers(item: WorkItem) -> set[uuid.UUID]:
    """Return the people who manage the workflow of the item."""
    workflow_id = item.workflow_version.workflow_id
    people = members(item.tenant_id, humans_only=True)
    return {member.id for member in people if Scope.WORKFLOW_MANAGE in member.scopes_on(workflow_id)}


def _participants(item: WorkItem) -> set[uuid.UUID]:
    """Return the watchers, the requester and the submitter, those who voted, commented or asked."""
    mine = {"tenant_id": item.tenant_id}
    return {
        item.requester_id,
        item.submitted_by_id,
        *Watch.objects.filter(**mine, work_item=item).values_list("principal_id", flat=True),
        *Comment.objects.filter(**mine, work_item=item, removed_at=None).values_list("author_id", flat=True),
        *RequesterQuestion.objects.filter(**mine, work_item=item).values_list("asked_by_id", flat=True),
        *Vote.objects.filter(**mine, step__work_item=item).values_list("voter_id", flat=True),
    }
