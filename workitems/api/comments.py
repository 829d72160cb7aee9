"""`/work-items/{id}/comments`: comments with their history."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response

from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.resources.resource import page_of
from threada_site.api.viewsets import TenantViewSet, creation
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.api.items import found_item, locked_subject
from workitems.api.resources.conversation import COMMENT, COMMENT_WITH_HISTORY, POSTED_COMMENT
from workitems.api.shapes import ADD_COMMENT, EDIT_COMMENT
from workitems.conversation import selectors
from workitems.conversation.comments import Posted, add_comment, edit_comment, remove_comment
from workitems.conversation.models import Audience
from workitems.items.sensitive import record_reading
from workitems.models import Comment, WorkItem


class CommentViewSet(TenantViewSet):
    id_prefix = ids.COMMENT
    lookup_url_kwarg = "comment_id"
    resource = COMMENT
    tag = "Conversation"

    @operation(
        "listComments",
        "List the comments on a work item",
        scope=Scope.WORKITEMS_READ,
        answers={200: page_of(COMMENT)},
        filters=CreatedWindow,
    )
    def list(self, request: Any, work_item_id: str) -> Response:
        """Return the comments that the caller may read, newest first. Takes `limit` and `cursor`."""
        item = found_item(self, request, work_item_id)
        record_reading(item, ctx=request.auth)
        rows = selectors.with_text(selectors.comments(item, ctx=request.auth))
        return self.page(self.filter_queryset(rows))

    @creation(
        "addComment",
        "Comment on a work item",
        scope=Scope.WORKITEMS_READ,
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
    def create(self, request: Any, work_item_id: str, body: dict[str, Any]) -> Response:
        """Add a comment. It decides nothing. Needs `workitems:write` or `decisions:decide` on the workflow.

        Services and agents comment in their own name (`author_kind`). Mentioned members get a message only if they can
        read the comment.
        """
        item = locked_subject(self, work_item_id)
        audience = Audience(body.get("audience", Audience.EVERYONE))
        posted = add_comment(
            item, body["text"], audience=audience, attachments=body.get("attachments", ()), ctx=request.auth
        )
        location = f"/work-items/{item.public_id}/comments/{posted.comment.public_id}"
        headers = {"Location": location, "ETag": _tag(posted.comment)}
        return Response(_posted(posted), status=201, headers=headers)

    @operation(
        "readComment",
        "Read a comment with its versions",
        scope=Scope.WORKITEMS_READ,
        answers={200: COMMENT_WITH_HISTORY},
    )
    def retrieve(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Return a comment with all versions, and for each the votes that were cast while it was shown."""
        item = found_item(self, request, work_item_id)
        comment = self._comment_on(item)
        record_reading(item, ctx=request.auth)
        versions = selectors.history_of(comment, ctx=request.auth)
        body = COMMENT_WITH_HISTORY.represent(comment, versions=versions)
        return Response(body, headers={"ETag": _tag(comment)})

    @operation(
        "editComment",
        "Edit a comment",
        scope=Scope.WORKITEMS_READ,
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
    def partial_update(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Replace the text. Its author alone does that. Earlier versions stay readable in the history."""
        body = EDIT_COMMENT.check(request.data)
        item = locked_subject(self, work_item_id)
        comment = self._comment_on(item)
        check_if_match(request, _tag(comment))
        posted = edit_comment(item, comment.id, body["text"], ctx=request.auth)
        return Response(_posted(posted), headers={"ETag": _tag(posted.comment)})

    @operation(
        "removeComment",
        "Remove a comment",
        scope=Scope.WORKITEMS_READ,
        answers={204: None},
        takes_if_match=True,
        reasons=("permission_denied",),
    )
    def destroy(self, request: Any, work_item_id: str, comment_id: str) -> Response:
        """Erase the texts of a comment; a marker stays. Its author does that, or a person with `workflow:manage`."""
        item = locked_subject(self, work_item_id)
        comment = selectors.comment_of(item, self.row_id, ctx=request.auth)
        if comment is not None:
            check_if_match(request, _tag(comment), required=False)
        remove_comment(item, self.row_id, ctx=request.auth)
        return Response(status=204)

    def _comment_on(self, item: WorkItem) -> Comment:
        comment = selectors.comment_of(item, self.row_id, ctx=self.request.auth)
        if comment is None:
            raise errors.NotFound
        return comment


def _tag(comment: Comment) -> str:
    return etag("comment", comment.version, "removed" if comment.removed_at else "shown")


def _posted(posted: Posted) -> dict[str, Any]:
    comment = posted.comment
    comment.newest_versions = [posted.version]  # type: ignore[attr-defined]
    return POSTED_COMMENT.represent(comment, notified=posted.notified, not_notified=posted.unnotified)
