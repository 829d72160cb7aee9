"""Resources of comments, questions to the requester, and watches."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.resources.field_types import (
    BOOLEAN,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    TEXTS,
    array,
    choice,
    inline,
    maybe,
    public_id,
)
from threada_site.api.resources.resource import Resource, field, given
from threada_site.kernel import ids
from threada_site.kernel.context import PrincipalKind
from threada_site.personal_data.erasable_fields import is_erased
from workitems.api.resources.attachments import FILE_FIELDS
from workitems.conversation.models import Audience, QuestionStatus
from workitems.conversation.selectors import shown_text
from workitems.models import RequesterQuestion


def _answer(question: RequesterQuestion) -> str | None:
    return str(question.answer) if question.answer else None


_COMMENT_FIELDS: Final = (
    field("comment_id", public_id(ids.COMMENT), "id"),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field("created_by", public_id(ids.PRINCIPAL), "author_id"),
    field("author_kind", choice(PrincipalKind), description="`service` and `agent`: no person wrote it."),
    field("audience", choice(Audience)),
    field("text", MAYBE_TEXT, shown_text, description="Markdown. Null if the comment was removed."),
    field(
        "attachments",
        array(inline(*FILE_FIELDS)),
        lambda comment: [] if comment.removed_at is not None else list(comment.attachments.all()),
        description="Files of the comment. Read their bytes at `/attachments/{attachment_id}/content`.",
    ),
    field("version", NUMBER),
    field("created_at", INSTANT),
    field("edited_at", MAYBE_INSTANT, description="Time of the last edit."),
    field("removed_at", MAYBE_INSTANT),
    field("removed_by", maybe(public_id(ids.PRINCIPAL))),
)
_COMMENT_EXAMPLE: Final[dict[str, Any]] = {
    "comment_id": "cm_01k9zqa1c7e4st5v6w7x8y9z0a",
    "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
    "created_by": "pr_01k9zq4m2be5t8v7x6y5z4w3a2",
    "author_kind": "human",
    "audience": "everyone",
    "text": "The contract is *signed*. @fay please check the amount.",
    "attachments": [],
    "version": 1,
    "created_at": "2026-01-31T09:30:00.000Z",
    "edited_at": None,
    "removed_at": None,
    "removed_by": None,
}
COMMENT: Final = Resource("Comment", *_COMMENT_FIELDS, example=_COMMENT_EXAMPLE)
POSTED_COMMENT: Final = Resource(
    "PostedComment",
    *_COMMENT_FIELDS,
    given("notified", TEXTS, description="Mentioned members who can read the comment."),
    given("not_notified", TEXTS, description="Other mentioned names. Nobody with such a name can read the comment."),
    example={**_COMMENT_EXAMPLE, "notified": ["fay"], "not_notified": []},
)
COMMENT_WITH_HISTORY: Final = Resource(
    "CommentWithHistory",
    *_COMMENT_FIELDS,
    given(
        "versions",
        array(
            inline(
                field("number", NUMBER, "version.number"),
                field("text", TEXT, lambda shown: str(shown.version.text)),
                field("created_at", INSTANT, "version.created_at"),
                field("replaced_at", MAYBE_INSTANT, "until", description="Null for the newest version."),
                field(
                    "votes_meanwhile",
                    array(public_id(ids.VOTE)),
                    lambda shown: [vote.id for vote in shown.votes],
                    description="Votes that were cast while this version was shown.",
                ),
            )
        ),
        description="All versions, the oldest first. Empty if the comment was removed.",
    ),
    example={
        **_COMMENT_EXAMPLE,
        "versions": [
            {
                "number": 1,
                "text": _COMMENT_EXAMPLE["text"],
                "created_at": _COMMENT_EXAMPLE["created_at"],
                "replaced_at": None,
                "votes_meanwhile": ["vt_01k9zqb2d8f5tv6w7x8y9z0a1b"],
            }
        ],
    },
)
QUESTION: Final = Resource(
    "RequesterQuestion",
    field("question_id", public_id(ids.REQUESTER_QUESTION), "id"),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field(
        "decision_step_id",
        maybe(public_id(ids.DECISION_STEP)),
        "step_id",
        description="The step that was pending when it was asked.",
    ),
    field("status", choice(QuestionStatus), description="`closed`: the step was decided, or the work item ended."),
    field("asked_by", public_id(ids.PRINCIPAL), "asked_by_id"),
    field("text", TEXT, lambda question: str(question.text)),
    field("pauses_deadlines", BOOLEAN, "pauses"),
    field("work_item_version", NUMBER, "asked_version", description="Version of the work item when it was asked."),
    field("asked_at", INSTANT, "created_at"),
    field("expires_at", INSTANT),
    field("answer", MAYBE_TEXT, _answer),
    field("answered_by", maybe(public_id(ids.PRINCIPAL)), "answered_by_id"),
    field("ended_at", MAYBE_INSTANT),
    field("contents_erased", BOOLEAN, lambda question: is_erased(question.text)),
    example={
        "question_id": "qu_01k9zqc3e9g6vw7x8y9z0a1b2c",
        "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "decision_step_id": "ds_01k9zq8b6xf0jt3s4v5w6x7y8z",
        "status": "open",
        "asked_by": "pr_01k9zq4m2be5t8v7x6y5z4w3a2",
        "text": "Which purchase order does this invoice belong to?",
        "pauses_deadlines": True,
        "work_item_version": 1,
        "asked_at": "2026-01-31T09:30:00.000Z",
        "expires_at": "2026-02-07T09:30:00.000Z",
        "answer": None,
        "answered_by": None,
        "ended_at": None,
        "contents_erased": False,
    },
)
WATCH: Final = Resource(
    "Watch",
    given("work_item_id", public_id(ids.WORK_ITEM)),
    given("watching", BOOLEAN),
    example={"work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5", "watching": True},
)
