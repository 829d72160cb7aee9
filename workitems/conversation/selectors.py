"""Selectors of conversations: comments and questions that the caller may read, with what an approver has seen."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Prefetch, Q, QuerySet

from telemetry.models import Receipt
from threada_site.database.joint_reads import fetch_together
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


@dataclass(frozen=True, slots=True)
class Conversation:
    """Querysets of the conversation about one work item that a page shows, to be read together with others."""

    comments: QuerySet[Comment]
    versions: QuerySet[CommentVersion]
    files: QuerySet[Attachment]
    questions: QuerySet[RequesterQuestion]
    watches: QuerySet[Watch]
    comments_shown: int
    """Comments that the page shows. `comments` has one more if there are older ones."""

    @property
    def parts(self) -> tuple[QuerySet[Any], ...]:
        return self.comments, self.versions, self.files, self.questions, self.watches

    def newest_comments(self) -> list[Comment]:
        """Return the comments, the newest first, with their newest versions, as `newest_versions`, and files, as
        `shown_files`."""
        versions = {version.comment_id: version for version in self.versions}
        files: dict[uuid.UUID | None, list[Attachment]] = {}
        for file in self.files:
            files.setdefault(file.comment_id, []).append(file)
        found = list(self.comments)
        for comment in found:
            comment.newest_versions = [versions[comment.id]]  # type: ignore[attr-defined]
            comment.shown_files = files.get(comment.id, [])  # type: ignore[attr-defined]
        return found


def conversation(item: WorkItem, *, ctx: ActingContext, comments_shown: int, questions_shown: int) -> Conversation:
    """Return the newest comments and questions on `item`, which the caller may read, and the caller's watch."""
    newest = comments(item, ctx=ctx).order_by("-id")[: comments_shown + 1]
    mine = {"tenant_id": item.tenant_id, "work_item": item}
    texts = {**mine, "comment__in": newest.values("id")}
    return Conversation(
        comments=newest,
        versions=CommentVersion.objects.filter(**texts, number=F("comment__version")),
        files=Attachment.objects.filter(**texts).order_by("id"),
        questions=questions(item).order_by("-id")[:questions_shown],
        watches=watches(item).filter(principal_id=ctx.principal_id),
        comments_shown=comments_shown,
    )


def comment_of(item: WorkItem, comment_id: uuid.UUID, *, ctx: ActingContext) -> Comment | None:
    """Return a comment on `item` that the caller may read, with its newest version."""
    return with_text(comments(item, ctx=ctx).filter(id=comment_id)).first()


def shown_text(comment: Comment) -> str | None:
    """Return the newest text of a comment of `with_text`; None if it was removed."""
    newest: Sequence[CommentVersion] = comment.newest_versions  # type: ignore[attr-defined]
    return None if comment.removed_at is not None else str(newest[0].text)


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

    Runs one statement, none without comments.
    """
    return people_and_histories((), rows, ctx=ctx)[1]


def people_and_histories(
    rows: Sequence[Comment], edited: Sequence[Comment], *, ctx: ActingContext
) -> tuple[dict[uuid.UUID, str], dict[uuid.UUID, list[ShownVersion]]]:
    """Return the usernames of the people whom the newest versions of `rows` mention, by id, and the versions of
    `edited` as `histories_of` does.

    Both are comments on one work item. Runs at most one statement.
    """
    named = {who for comment in rows for version in comment.newest_versions for who in version.mentioned_ids}  # type: ignore[attr-defined]
    people = User.objects.filter(id__in=named).values_list("id", "username")
    versions = CommentVersion.objects.none()
    votes = Vote.objects.none()
    if edited:
        mine = {"tenant_id": ctx.tenant_id}
        versions = CommentVersion.objects.filter(**mine, comment__in=[row.id for row in edited]).order_by("number")
        since = min(row.created_at for row in edited)
        cast = Vote.objects.filter(
            **mine, step__work_item_id=edited[0].work_item_id, created_at__gte=since, carried_from=None
        )
        votes = cast.select_related("voter").order_by("id")
    fetch_together(people, versions, votes)
    found: dict[uuid.UUID, list[CommentVersion]] = {row.id: [] for row in edited}
    for version in versions:
        found[version.comment_id].append(version)
    histories = {comment_id: _shown(history, votes) for comment_id, history in found.items()}
    return dict(people), histories


def _shown(versions: Sequence[CommentVersion], votes: Iterable[Vote]) -> list[ShownVersion]:
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
