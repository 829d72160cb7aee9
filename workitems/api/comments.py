"""`/work-items/{id}/comments`: comments with their history."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems.api.items import found_item
from workitems.api.resources.conversation import COMMENT, COMMENT_WITH_HISTORY, POSTED_COMMENT
from workitems.api.shapes import ADD_COMMENT, EDIT_COMMENT
from workitems.conversation import selectors
from workitems.conversation.comments import Posted, add_comment, edit_comment, remove_comment
from workitems.conversation.models import Audience
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading
from workitems.models import Comment, WorkItem


class Comments(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKITEMS_READ}

    @operation(
        "listComments",
        "List the comments on a work item",
        tag="Conversation",
        answers={200: page_of(COMMENT)},
        filters=NoFilters,
    )
    def get(self, request: Any, work_item_id: str) -> Response:
        """Return the comments that the caller may read, newest first. Takes `limit` and `cursor`."""
        item = found_item(self, request, work_item_id)
        record_reading(item, ctx=request.auth)
        rows = selectors.with_text(selectors.comments(item, ctx=request.auth))
        return Response(paginate(apply_filters(NoFilters, rows, request), request, represent=COMMENT.represent))

    @operation(
        "addComment",
        "Comment on a work item",
        tag="Conversation",
        body=ADD_COMMENT,
        answers={201: POSTED_COMMENT},
        headers=("Location", "ETag"),
        reasons=(
            "permission_denied",
            "comment_too_long",
            "conversation_limit",
            "contents_removed",
            "quota_exceeded",
            "attachment_not_usable",
        ),
    )
    @idempotent
    def post(self, request: Any, work_item_id: str) -> Response:
        """Add a comment. It decides nothing. Needs `workitems:write` or `decisions:decide` on the workflow.

        Services and agents comment in their own name (`author_kind`). Mentioned members get a message only if they can
        read the comment.
        """
        body = ADD_COMMENT.check(request.data)
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        audience = Audience(body.get("audience", Audience.EVERYONE))
        posted = add_comment(
            item, body["text"], audience=audience, attachments=body.get("attachments", ()), ctx=request.auth
        )
        location = f"/work-items/{item.public_id}/comments/{posted.comment.public_id}"
        headers = {"Location": location, "ETag": _tag(posted.comment)}
        return Response(_posted(posted), status=201, headers=headers)


class CommentDetail(TenantView):
    scopes: ClassVar = {
        "GET": Scope.WORKITEMS_READ,
        "PATCH": Scope.WORKITEMS_READ,
        "DELETE": Scope.WORKITEMS_READ,
    }

    @operation(
        "readComment",
        "Read a comment with its versions",
        tag="Conversation",
        answers={200: COMMENT_WITH_HISTORY},
    )
    def get(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Return a comment with all versions, and for each the votes that were cast while it was shown."""
        item = found_item(self, request, work_item_id)
        comment = _found(item, comment_id, ctx=request.auth)
        record_reading(item, ctx=request.auth)
        versions = selectors.history_of(comment, ctx=request.auth)
        body = COMMENT_WITH_HISTORY.represent(comment, versions=versions)
        return Response(body, headers={"ETag": _tag(comment)})

    @operation(
        "editComment",
        "Edit a comment",
        tag="Conversation",
        body=EDIT_COMMENT,
        answers={200: POSTED_COMMENT},
        needs_if_match=True,
        headers=("ETag",),
        reasons=(
            "permission_denied",
            "comment_removed",
            "comment_too_long",
            "conversation_limit",
            "contents_removed",
            "quota_exceeded",
        ),
    )
    def patch(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Replace the text. Its author alone does that. Earlier versions stay readable in the history."""
        body = EDIT_COMMENT.check(request.data)
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        comment = _found(item, comment_id, ctx=request.auth)
        check_if_match(request, _tag(comment))
        posted = edit_comment(item, comment.id, body["text"], ctx=request.auth)
        return Response(_posted(posted), headers={"ETag": _tag(posted.comment)})

    @operation(
        "removeComment",
        "Remove a comment",
        tag="Conversation",
        answers={204: None},
        takes_if_match=True,
        reasons=("permission_denied",),
    )
    def delete(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Erase the texts of a comment; a marker stays. Its author does that, or a person with `workflow:manage`."""
        item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
        self.subject = subject_of(item)
        comment = selectors.comment_of(item, path_id(ids.COMMENT, comment_id), ctx=request.auth)
        if comment is not None:
            check_if_match(request, _tag(comment), required=False)
        remove_comment(item, path_id(ids.COMMENT, comment_id), ctx=request.auth)
        return Response(status=204)


def _found(item: WorkItem, comment_id: str, *, ctx: ActingContext) -> Comment:
    comment = selectors.comment_of(item, path_id(ids.COMMENT, comment_id), ctx=ctx)
    if comment is None:
        raise errors.NotFound
    return comment


def _tag(comment: Comment) -> str:
    return etag("comment", comment.version, "removed" if comment.removed_at else "shown")


def _posted(posted: Posted) -> dict[str, Any]:
    comment = posted.comment
    comment.newest_versions = [posted.version]  # type: ignore[attr-defined]
    return POSTED_COMMENT.represent(comment, notified=posted.notified, not_notified=posted.unnotified)
