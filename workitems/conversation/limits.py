"""Limits of a conversation: sizes, mentions, and how often one principal writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.quotas.require import require_stored_bytes
from workitems.models import Comment, CommentVersion, RequesterQuestion, WorkItem

MOST_CHARACTERS: Final = 4000
MOST_MENTIONS: Final = 10
MOST_VERSIONS: Final = 50
MOST_COMMENTS: Final = 1000
"""Comments on one work item, removed ones included."""
MOST_PER_HOUR: Final = 60
"""Comments and edits of one principal in a tenant; as many questions."""
MOST_OPEN_QUESTIONS: Final = 5
MOST_QUESTIONS: Final = 100
"""Questions about one work item."""
_HOUR: Final = timedelta(hours=1)


def checked_text(text: str, *, pointer: str = "/text") -> str:
    """Return a text without surrounding white space. Raises `InvalidRequest` (empty) and `CommentTooLong`."""
    text = text.strip()
    if not text:
        raise errors.InvalidRequest(errors=[FieldError(pointer, "is empty", "required")])
    if len(text) > MOST_CHARACTERS:
        raise errors.CommentTooLong(
            f"The text has {len(text)} characters; {MOST_CHARACTERS} are allowed. Shorten it.",
            errors=[FieldError(pointer, f"has more than {MOST_CHARACTERS} characters", "too_long")],
        )
    return text


def check_mentions(names: list[str]) -> None:
    """Raise `ConversationLimit` if a comment mentions too many people."""
    if len(names) > MOST_MENTIONS:
        raise errors.ConversationLimit(f"The comment mentions {len(names)} people; {MOST_MENTIONS} are allowed.")


def check_rate(*, ctx: ActingContext) -> None:
    """Raise `RateLimited` if the caller has written too much within an hour, `QuotaExceeded` if the tenant is full."""
    require_stored_bytes(ctx=ctx)
    since = clock.now() - _HOUR
    mine = {"tenant_id": ctx.tenant_id, "comment__author_id": ctx.principal_id, "created_at__gt": since}
    if CommentVersion.objects.filter(**mine)[:MOST_PER_HOUR].count() >= MOST_PER_HOUR:
        raise errors.RateLimited(
            f"You have written {MOST_PER_HOUR} comments and edits within an hour. Wait before you write more.",
            headers={"Retry-After": "600"},
        )


def check_comments(item: WorkItem) -> None:
    """Raise `ConversationLimit` if a locked work item has as many comments as it may have."""
    if Comment.objects.filter(tenant_id=item.tenant_id, work_item=item)[:MOST_COMMENTS].count() >= MOST_COMMENTS:
        raise errors.ConversationLimit(f"This work item has {MOST_COMMENTS} comments, which is the limit.")


def check_questions(item: WorkItem, *, ctx: ActingContext) -> None:
    """Raise an error if a locked work item or the caller has asked as many questions as allowed.

    Raises `ConversationLimit` for the item, `RateLimited` for the caller.
    """
    recent = RequesterQuestion.objects.filter(
        tenant_id=ctx.tenant_id, asked_by=ctx.principal_id, created_at__gt=clock.now() - _HOUR
    )
    if recent[:MOST_PER_HOUR].count() >= MOST_PER_HOUR:
        raise errors.RateLimited(
            f"You have asked {MOST_PER_HOUR} questions within an hour. Wait before you ask more.",
            headers={"Retry-After": "600"},
        )
    if item.open_questions >= MOST_OPEN_QUESTIONS:
        raise errors.ConversationLimit(
            f"{MOST_OPEN_QUESTIONS} questions are open already. Wait for an answer, or comment instead."
        )
    if RequesterQuestion.objects.filter(tenant_id=item.tenant_id, work_item=item).count() >= MOST_QUESTIONS:
        raise errors.ConversationLimit(f"This work item has {MOST_QUESTIONS} questions, which is the limit.")
