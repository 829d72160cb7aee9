"""`/work-items/{id}/questions`: questions to the requester."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.api.items import found_item
from workitems.api.resources.conversation import QUESTION
from workitems.api.shapes import ANSWER_QUESTION, ASK_QUESTION
from workitems.conversation import selectors
from workitems.conversation.questions import answer_question, ask_question, withdraw_question
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading


class Questions(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.DECISIONS_DECIDE}

    @operation(
        "listQuestions",
        "List the questions about a work item",
        tag="Conversation",
        answers={200: page_of(QUESTION)},
        filters=NoFilters,
    )
    def get(self, request: Any, work_item_id: str) -> Response:
        """Return the questions to the requester, newest first, with their answers. Takes `limit` and `cursor`."""
        item = found_item(self, request, work_item_id)
        record_reading(item, ctx=request.auth)
        rows = apply_filters(NoFilters, selectors.questions(item), request)
        return Response(paginate(rows, request, represent=QUESTION.represent))

    @operation(
        "askQuestion",
        "Ask the requester a question",
        tag="Conversation",
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
    @idempotent
    def post(self, request: Any, work_item_id: str) -> Response:
        """Ask as a person who decides. The work item waits for the answer, and its deadlines may pause.

        They pause if the workflow says so (`questions.pause`), if the caller may still vote on the pending step, and
        for at most `questions.at_most` in all.
        """
        body = ASK_QUESTION.check(request.data)
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        question = ask_question(item, body["text"], ctx=request.auth)
        location = {"Location": f"/work-items/{item.public_id}/questions/{question.public_id}"}
        return Response(QUESTION.represent(question), status=201, headers=location)


class QuestionDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readQuestion", "Read a question to the requester", tag="Conversation", answers={200: QUESTION})
    def get(self, request: Any, work_item_id: str, question_id: str) -> Response:
        """Return a question with its answer."""
        item = found_item(self, request, work_item_id)
        question = selectors.questions(item).filter(id=path_id(ids.REQUESTER_QUESTION, question_id)).first()
        if question is None:
            raise errors.NotFound
        record_reading(item, ctx=request.auth)
        return Response(QUESTION.represent(question))


class AnswerQuestion(TenantView):
    scopes: ClassVar = {"POST": Scope.WORKITEMS_WRITE}

    @operation(
        "answerQuestion",
        "Answer a question",
        tag="Conversation",
        body=ANSWER_QUESTION,
        answers={200: QUESTION},
        reasons=("permission_denied", "question_closed", "comment_too_long", "contents_removed"),
    )
    @idempotent
    def post(self, request: Any, work_item_id: str, question_id: str) -> Response:
        """Answer as the requester. An answer changes no payload: `PATCH /work-items/{id}` does, and decides anew."""
        body = ANSWER_QUESTION.check(request.data)
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        parsed = path_id(ids.REQUESTER_QUESTION, question_id)
        return Response(QUESTION.represent(answer_question(item, parsed, body["text"], ctx=request.auth)))


class WithdrawQuestion(TenantView):
    scopes: ClassVar = {"POST": Scope.WORKITEMS_READ}

    @operation(
        "withdrawQuestion",
        "Withdraw a question",
        tag="Conversation",
        body=EMPTY,
        answers={200: QUESTION},
        reasons=("permission_denied", "question_closed"),
    )
    @idempotent
    def post(self, request: Any, work_item_id: str, question_id: str) -> Response:
        """Withdraw an open question as its author, or as a person with `workflow:manage`."""
        EMPTY.check(request.data)
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        parsed = path_id(ids.REQUESTER_QUESTION, question_id)
        return Response(QUESTION.represent(withdraw_question(item, parsed, ctx=request.auth)))
