"""Conversation on the pages of a work item: comments, questions to the requester, watching.

One context and one template (`workitems/parts/conversation.html`) serve every page that shows a work item. Buttons are
those of the work item; the field `back` names the page to return to.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from threada_site.admin.actions import Call, Done, action
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.strict import parse_json
from threada_site.kernel.media_types import endings_of
from threada_site.personal_data.erasable_fields import is_erased
from workitems.api.shapes import EDIT_WORK_ITEM
from workitems.attachments.upload import accepted_types, check_upload, receive
from workitems.conversation import limits, selectors
from workitems.conversation.audience import hidden_from, may_read_all, may_write_in
from workitems.conversation.comments import Posted, add_comment, edit_comment, remove_comment
from workitems.conversation.files import MOST_FILES
from workitems.conversation.markdown import as_html
from workitems.conversation.models import Audience
from workitems.conversation.questions import answer_question, ask_question, may_answer, may_ask, withdraw_question
from workitems.conversation.selectors import ShownVersion
from workitems.conversation.watching import unwatch_item, watch_item
from workitems.display.file_values import described
from workitems.display.formats import locale_named
from workitems.display.html import file_link
from workitems.executions.close_item import edit_payload
from workitems.items.erasable_fields import erased_by
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.requester_questions import waits_for_requester
from workitems.lifecycle import WORK_ITEM, WorkItemStatus
from workitems.models import Attachment, Comment, RequesterQuestion, WorkItem

SHOWN: Final = 50
ANCHOR: Final = "#conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownComment:
    """Comment as the page shows it. `html` is None for a removed or erased one; `history` is set if it was edited."""

    row: Comment
    at: datetime
    html: SafeString | None
    text: str
    is_for_deciders: bool
    history: list[tuple[ShownVersion, SafeString]]
    may_edit: bool
    may_remove: bool
    files: list[tuple[Attachment, SafeString]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownQuestion:
    """Question as the page shows it, with what the reader may do."""

    row: RequesterQuestion
    at: datetime
    html: SafeString
    answer: SafeString | None
    may_answer: bool
    may_withdraw: bool


def conversation_rows(item: WorkItem, query: QueryDict, *, ctx: ActingContext) -> selectors.Conversation:
    """Return the rows of a conversation that a page shows: the newest 50 comments, or all with `?conversation=all`."""
    most = limits.MOST_COMMENTS if query.get("conversation") == "all" else SHOWN
    return selectors.conversation(item, ctx=ctx, comments_shown=most, questions_shown=limits.MOST_QUESTIONS)


def conversation_of(item: WorkItem, rows: selectors.Conversation, *, ctx: ActingContext, back: str) -> dict[str, Any]:
    """Return the context of the conversation about `item`, which the caller may read.

    The number of statements does not depend on the number of comments and questions. `rows` are those of
    `conversation_rows`.
    """
    is_open = WORK_ITEM.is_open(WorkItemStatus(item.status))
    has_contents = not erased_by(item)
    answers = is_open and has_contents and may_answer(item, ctx=ctx)
    newest = rows.newest_comments()
    comments = newest[: rows.comments_shown]
    questions = list(rows.questions)
    thread: list[Any] = [
        *_comments(comments, item, ctx=ctx),
        *(_question(row, item, answers=answers, ctx=ctx) for row in questions),
    ]
    return {
        "conversation": {
            "item": item,
            "key": item.public_id,
            "back": back,
            "thread": sorted(thread, key=lambda entry: entry.at),
            "count": len(comments) + len(questions),
            "has_older": len(newest) > len(comments),
            "waits": waits_for_requester(item),
            "asks_reader": ctx.principal_id in hidden_from(item),
            "reader": ctx.principal_id,
            "may_comment": has_contents and may_write_in(item, ctx=ctx),
            "may_write_for_deciders": may_read_all(item, ctx=ctx),
            "may_ask": may_ask(item, ctx=ctx),
            "may_change": answers and any(question.is_open for question in questions),
            "may_watch": ctx.is_person,
            "watching": bool(rows.watches),
            "longest": limits.MOST_CHARACTERS,
            "accept": endings_of(accepted_types()),
        }
    }


def _comments(rows: list[Comment], item: WorkItem, *, ctx: ActingContext) -> list[ShownComment]:
    edited = [row for row in rows if row.version > 1 and row.removed_at is None]
    people, histories = selectors.people_and_histories(rows, edited, ctx=ctx)
    manages = ctx.is_person and ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id)
    writes = may_write_in(item, ctx=ctx) and not erased_by(item)
    found = []
    for row in rows:
        (version,) = row.newest_versions  # type: ignore[attr-defined]
        named = [people[who] for who in version.mentioned_ids if who in people]
        is_gone = row.removed_at is not None or is_erased(version.text)
        is_own = row.author_id == ctx.principal_id
        found.append(
            ShownComment(
                row=row,
                at=row.created_at,
                html=None if is_gone else as_html(version.text, people=named),
                text="" if is_gone else version.text,
                is_for_deciders=row.audience == Audience.DECIDERS,
                history=[(shown, as_html(str(shown.version.text))) for shown in histories.get(row.id, ())],
                may_edit=is_own and writes and not is_gone,
                may_remove=(is_own or manages) and row.removed_at is None,
                files=[] if is_gone else [(file, _file(file)) for file in row.shown_files],  # type: ignore[attr-defined]
            )
        )
    return found


def _file(file: Attachment) -> SafeString:
    """Return name and size of a file as a link to its download."""
    locale = locale_named(get_language())
    return file_link(file.public_id, described(str(file.name), file.size, locale))


def _question(row: RequesterQuestion, item: WorkItem, *, answers: bool, ctx: ActingContext) -> ShownQuestion:
    manages = ctx.is_person and ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id)
    is_open = row.is_open and row.expires_at > clock.now()
    return ShownQuestion(
        row=row,
        at=row.created_at,
        html=as_html(str(row.text)),
        answer=as_html(str(row.answer)) if row.answer else None,
        may_answer=is_open and answers,
        may_withdraw=row.is_open and (row.asked_by_id == ctx.principal_id or manages),
    )


def _received_files(call: Call) -> list[str]:
    """Store the files of a comment. Return their ids."""
    sent = call.request.FILES.getlist("files")
    if len(sent) > MOST_FILES:
        raise errors.InvalidRequest(_("A comment has at most %(most)d files.") % {"most": MOST_FILES})
    checked = [check_upload(file, name=file.name or "", declared=file.content_type or "") for file in sent]
    return [receive(upload, ctx=call.ctx).public_id for upload in checked]


class ConversationButtons:
    """Buttons of the conversation, for the admin of work items."""

    @action(Scope.WORKITEMS_READ, prepare=_received_files)
    def comment(self, call: Call) -> Done:
        """Add a comment, with the files that the form sent."""
        audience = Audience.DECIDERS if call.sent("audience") == Audience.DECIDERS else Audience.EVERYONE
        return _posted(
            call,
            add_comment(
                _item(call), call.sent("text"), audience=audience, attachments=call.prepared or (), ctx=call.ctx
            ),
        )

    @action(Scope.WORKITEMS_READ)
    def edit_comment(self, call: Call) -> Done:
        """Edit a comment."""
        item, comment_id = _item(call), _sent_id(call, "comment", ids.COMMENT)
        return _posted(call, edit_comment(item, comment_id, call.sent("text"), ctx=call.ctx))

    @action(Scope.WORKITEMS_READ)
    def remove_comment(self, call: Call) -> Done:
        """Remove a comment."""
        remove_comment(_item(call), _sent_id(call, "comment", ids.COMMENT), ctx=call.ctx)
        return Done(_("The comment is removed."), url=_back(call))

    @action(Scope.DECISIONS_DECIDE)
    def ask(self, call: Call) -> Done:
        """Ask the requester."""
        question = ask_question(_item(call), call.sent("text"), ctx=call.ctx)
        said = (
            _("The requester is asked. The deadlines are paused.") if question.pauses else _("The requester is asked.")
        )
        return Done(said, url=_back(call))

    @action(Scope.WORKITEMS_WRITE)
    def answer(self, call: Call) -> Done:
        """Answer a question."""
        question_id = _sent_id(call, "question", ids.REQUESTER_QUESTION)
        answer_question(_item(call), question_id, call.sent("text"), ctx=call.ctx)
        return Done(_("The question is answered."), url=_back(call))

    @action(Scope.WORKITEMS_READ)
    def withdraw_question(self, call: Call) -> Done:
        """Withdraw a question."""
        withdraw_question(_item(call), _sent_id(call, "question", ids.REQUESTER_QUESTION), ctx=call.ctx)
        return Done(_("The question is withdrawn."), url=_back(call))

    @action(Scope.WORKITEMS_WRITE)
    def change_payload(self, call: Call) -> Done:
        """Replace the payload that the page showed. The decision starts again."""
        item = _item(call)
        if call.sent("version") != str(item.version):
            raise errors.Conflict("The work item was changed meanwhile. Look at it again, then change it.")
        try:
            sent = parse_json(call.sent("payload").encode())
        except ValueError as error:
            raise errors.InvalidRequest(errors=[FieldError("/payload", str(error), "invalid")]) from None
        edit_payload(item, EDIT_WORK_ITEM.check({"payload": sent})["payload"], ctx=call.ctx)
        return Done(_("The request is changed. The decision about it starts again."), url=_back(call))

    @action(Scope.WORKITEMS_READ)
    def watch(self, call: Call) -> Done:
        """Watch the work item."""
        watch_item(_item(call), ctx=call.ctx)
        return Done(_("You are notified of comments, answers and decisions."), url=_back(call))

    @action(Scope.WORKITEMS_READ)
    def unwatch(self, call: Call) -> Done:
        """Stop watching the work item."""
        unwatch_item(_item(call), ctx=call.ctx)
        return Done(_("You no longer watch this work item."), url=_back(call))


def _posted(call: Call, posted: Posted) -> Done:
    said = _("The comment is saved.")
    if posted.unnotified:
        names = ", ".join(posted.unnotified)
        said += " " + ngettext(
            "{names} is not notified: nobody with this name can read the comment.",
            "{names} are not notified: nobody with these names can read the comment.",
            len(posted.unnotified),
        ).format(names=names)
    return Done(said, url=_back(call))


def _item(call: Call) -> WorkItem:
    parsed = ids.parse_public_id(ids.WORK_ITEM, call.key)
    if parsed is None:
        raise errors.NotFound
    item = locked_item(parsed, ctx=call.ctx)
    call.subject = subject_of(item)
    return item


def _sent_id(call: Call, name: str, prefix: str) -> uuid.UUID:
    parsed = ids.parse_public_id(prefix, call.sent(name))
    if parsed is None:
        raise errors.NotFound
    return parsed


def _back(call: Call) -> str | None:
    """Return the page of the console that the form names; None for the page of the work item."""
    asked = call.sent("back")
    is_own = asked.startswith(reverse("admin:index")) and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    return f"{asked}{ANCHOR}" if is_own else None
