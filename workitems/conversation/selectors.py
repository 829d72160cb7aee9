"""Selectors of conversations: comments and questions that the caller may read, with what an approver has seen."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Prefetch, Q, QuerySet

from telemetry.models import Receipt
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User
from workitems.conversation.audience import may_read_all
from workitems.conversation.models import Audience
from workitems.models import Attachment, Comment, CommentVersion, RequesterQuestion, Vote, Watch, WorkItem

_INTERNAL: str = "internal_comment."


def comments(item: WorkItem, *, ctx: ActingContext) -> QuerySet[Comment]:
    """Return the comments on `item`, which the caller may read, with authors; with comments for deciders if allowed."""
    rows = Comment.objects.filter(tenant_id=item.tenant_id, work_item=item).select_related("author")
    return rows if may_read_all(item, ctx=ctx) else rows.filter(audience=Audience.EVERYONE)


def with_text(rows: QuerySet[Comment]) -> QuerySet[Comment]:
    """Return comments with their newest versions, as `newest_versions`, and files, in two more statements."""
    newest = CommentVersion.objects.filter(number=F("comment__version"))
    files = Prefetch("attachments", queryset=Attachment.objects.order_by("id"))
    return rows.prefetch_related(Prefetch("versions", queryset=newest, to_attr="newest_versions"), files)


def comment_of(item: WorkItem, comment_id: uuid.UUID, *, ctx: ActingContext) -> Comment | None:
    """Return a comment on `item` that the caller may read, with its newest version."""
    return with_text(comments(item, ctx=ctx).filter(id=comment_id)).first()


def shown_text(comment: Comment) -> str | None:
    """Return the newest text of a comment of `with_text`; None if it was removed."""
    newest: Sequence[CommentVersion] = comment.newest_versions  # type: ignore[attr-defined]
    return None if comment.removed_at is not None else str(newest[0].text)


def people_mentioned(rows: Iterable[Comment]) -> dict[uuid.UUID, str]:
    """Return the usernames of the people whom the newest versions of comments of `with_text` mention, by id."""
    named = {who for comment in rows for version in comment.newest_versions for who in version.mentioned_ids}  # type: ignore[attr-defined]
    return dict(User.objects.filter(id__in=named).values_list("id", "username")) if named else {}


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """Version of a comment with the period in which it was shown, and the votes cast meanwhile."""

    version: CommentVersion
    until: datetime | None
    votes: tuple[Vote, ...]


def history_of(comment: Comment, *, ctx: ActingContext) -> list[ShownVersion]:
    """Return the versions of a comment, the oldest first. Empty for a removed comment."""
    return [] if comment.removed_at is not None else histories_of([comment], ctx=ctx)[comment.id]


def histories_of(rows: Sequence[Comment], *, ctx: ActingContext) -> dict[uuid.UUID, list[ShownVersion]]:
    """Return the versions of comments on one work item, with the votes that were cast while each was shown.

    Runs two statements, none without comments.
    """
    if not rows:
        return {}
    mine = {"tenant_id": ctx.tenant_id}
    versions = CommentVersion.objects.filter(**mine, comment__in=[row.id for row in rows]).order_by("number")
    since = min(row.created_at for row in rows)
    cast = Vote.objects.filter(
        **mine, step__work_item_id=rows[0].work_item_id, created_at__gte=since, carried_from=None
    )
    votes = list(cast.select_related("voter").order_by("id"))
    found: dict[uuid.UUID, list[CommentVersion]] = {row.id: [] for row in rows}
    for version in versions:
        found[version.comment_id].append(version)
    return {comment_id: _shown(history, votes) for comment_id, history in found.items()}


def _shown(versions: Sequence[CommentVersion], votes: Sequence[Vote]) -> list[ShownVersion]:
    ends: list[datetime | None] = [*(version.created_at for version in versions[1:]), None]
    return [
        ShownVersion(version, end, tuple(vote for vote in votes if _was_cast(vote, version.created_at, end)))
        for version, end in zip(versions, ends, strict=False)
    ]


def _was_cast(vote: Vote, since: datetime, until: datetime | None) -> bool:
    return vote.created_at >= since and (until is None or vote.created_at < until)


def questions(item: WorkItem) -> QuerySet[RequesterQuestion]:
    """Return the questions to the requester of `item`, which the caller may read."""
    rows = RequesterQuestion.objects.filter(tenant_id=item.tenant_id, work_item=item)
    return rows.select_related("asked_by", "answered_by")


def watches(item: WorkItem) -> QuerySet[Watch]:
    """Return the watches of `item`, including those of people who may no longer read it."""
    return Watch.objects.filter(tenant_id=item.tenant_id, work_item=item)


def is_watching(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the caller watches `item`."""
    return watches(item).filter(principal_id=ctx.principal_id).exists()


def timeline(rows: QuerySet[Receipt], item: WorkItem, *, ctx: ActingContext) -> QuerySet[Receipt]:
    """Return the receipts of a timeline that the caller may read: without those of comments for deciders, if hidden."""
    return rows if may_read_all(item, ctx=ctx) else rows.filter(~Q(kind__startswith=_INTERNAL))
