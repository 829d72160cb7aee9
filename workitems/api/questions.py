"""`/work-items/{id}/questions`: questions to the requester."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response

from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.resources.resource import page_of
from threada_site.api.viewsets import TenantViewSet, creation, verb
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.api.items import found_item, locked_subject
from workitems.api.resources.conversation import QUESTION
from workitems.api.shapes import ANSWER_QUESTION, ASK_QUESTION
from workitems.conversation import selectors
from workitems.conversation.questions import answer_question, ask_question, withdraw_question
from workitems.items.sensitive import record_reading


class QuestionViewSet(TenantViewSet):
    id_prefix = ids.REQUESTER_QUESTION
    lookup_url_kwarg = "question_id"
    resource = QUESTION
    tag = "Conversation"

    @operation(
        "listQuestions",
        "List the questions about a work item",
        scope=Scope.WORKITEMS_READ,
        answers={200: page_of(QUESTION)},
        filters=CreatedWindow,
    )
    def list(self, request: Any, work_item_id: str) -> Response:
        """Return the questions to the requester, newest first, with their answers. Takes `limit` and `cursor`."""
        item = found_item(self, request, work_item_id)
        record_reading(item, ctx=request.auth)
        return self.page(self.filter_queryset(selectors.questions(item)))

    @creation(
        "askQuestion",
        "Ask the requester a question",
        scope=Scope.DECISIONS_DECIDE,
        body=ASK_QUESTION,
        answers={201: QUESTION},
        headers=("Location",),
        reasons=(
            "permission_denied",
            "person_required",
            "transition_not_allowed",
            "comment_too_long",
            "conversation_limit",
            "contents_removed",
            "quota_exceeded",
        ),
    )
    def create(self, request: Any, work_item_id: str, body: dict[str, Any]) -> Response:
        """Ask as a person who decides. The work item waits for the answer, and its deadlines may pause.

        They pause if the workflow says so (`questions.pause`), if the caller may still vote on the pending step, and
        for at most `questions.at_most` in all.
        """
        item = locked_subject(self, work_item_id)
        question = ask_question(item, body["text"], ctx=request.auth)
        location = f"/work-items/{item.public_id}/questions/{question.public_id}"
        return self.shown(question, status=201, Location=location)

    @operation("readQuestion", "Read a question to the requester", scope=Scope.WORKITEMS_READ, answers={200: QUESTION})
    def retrieve(self, request: Any, work_item_id: str, question_id: str) -> Response:
        """Return a question with its answer."""
        item = found_item(self, request, work_item_id)
        question = selectors.questions(item).filter(id=self.row_id).first()
        if question is None:
            raise errors.NotFound
        record_reading(item, ctx=request.auth)
        return self.shown(question)

    @verb(
        "answerQuestion",
        "Answer a question",
        scope=Scope.WORKITEMS_WRITE,
        body=ANSWER_QUESTION,
        answers={200: QUESTION},
        reasons=("permission_denied", "question_closed", "comment_too_long", "contents_removed"),
    )
    def answer(self, request: Any, work_item_id: str, question_id: str, body: dict[str, Any]) -> Response:
        """Answer as the requester. An answer changes no payload: `PATCH /work-items/{id}` does, and decides anew."""
        item = locked_subject(self, work_item_id)
        return self.shown(answer_question(item, self.row_id, body["text"], ctx=request.auth))

    @verb(
        "withdrawQuestion",
        "Withdraw a question",
        scope=Scope.WORKITEMS_READ,
        answers={200: QUESTION},
        reasons=("permission_denied", "question_closed"),
    )
    def withdraw(self, request: Any, work_item_id: str, question_id: str) -> Response:
        """Withdraw an open question as its author, or as a person with `workflow:manage`."""
        item = locked_subject(self, work_item_id)
        return self.shown(withdraw_question(item, self.row_id, ctx=request.auth))
