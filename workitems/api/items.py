"""`/work-items`: intake, edits and closing of work items."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any, Final

import orjson
from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from policies.selectors import workflow_query
from telemetry import selectors as receipt_selectors
from telemetry.api.resources.log import EVENT
from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import order_of
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import Search
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.database.batched_writes import Statement
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.merge_patch import merge_patch
from threada_site.kernel.waits import Awaited, Watched
from workitems import lifecycle, selectors
from workitems.api.filters import WorkItemFilters
from workitems.api.payload_bodies import PayloadBody
from workitems.api.resources.conversation import WATCH
from workitems.api.resources.work_items import EXPLANATION, WHOLE_WORK_ITEM, WORK_ITEM
from workitems.api.shapes import CLOSE_WORK_ITEM, CREATE_WORK_ITEM, EDIT_WORK_ITEM, MERGED_METADATA
from workitems.conversation.selectors import is_watching, timeline
from workitems.conversation.watching import unwatch_item, watch_item
from workitems.executions.close_item import cancel_work_item, edit_payload, resolve_work_item
from workitems.explain.gather import explanation_with_waits
from workitems.items.intake import IntakeRequest, ReadWorkflow, create_work_item
from workitems.items.locks import locked_item
from workitems.items.metadata import edit_metadata
from workitems.items.receipts import subject_of
from workitems.items.sensitive import listed, record_reading
from workitems.models import WorkItem
from workitems.search.find import search_items

_WORKFLOW: Final = workflow_query(tenant="entered.tenant_id", workflow="$6::text", channel="$7::text")
_LARGEST_READ_AHEAD: Final = 16_384
"""Bytes of a body that is parsed before the caller is known, to read its workflow earlier."""


class WorkItemViewSet(PayloadBody, TenantViewSet):
    id_prefix = ids.WORK_ITEM
    lookup_url_kwarg = "work_item_id"
    resource = WORK_ITEM
    tag = "Work items"

    def get_queryset(self) -> QuerySet[WorkItem]:
        return selectors.work_items(self.request.auth)

    def get_object(self) -> WorkItem:
        return found_item(self, self.request, self.kwargs[self.lookup_url_kwarg])

    def alongside(self, request: Any) -> Statement | None:
        """Return the query for the workflow that a body names, to be read by the statement that authenticates."""
        named = _named_workflow(request) if self.action == "create" else None
        return None if named is None else Statement(_WORKFLOW, named)

    @listing("listWorkItems", "List work items", WORK_ITEM, scope=Scope.WORKITEMS_READ, filters=WorkItemFilters)
    def list(self, request: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset())
        return self.page(
            rows,
            represent=lambda item: WORK_ITEM.represent(listed(item, item.data_class)),
            search=_search_in(request),
            order=order_of(WorkItemFilters, request),
        )

    @operation(
        "createWorkItem",
        "Create a work item",
        scope=Scope.WORKITEMS_WRITE,
        body=CREATE_WORK_ITEM,
        answers={201: WORK_ITEM},
        headers=("Location", "ETag"),
        reasons=(
            "unknown_workflow",
            "unknown_channel",
            "channel_required",
            "unknown_requester",
            "payload_schema_violation",
            "external_ref_taken",
            "attachment_not_usable",
            "quota_exceeded",
        ),
    )
    @idempotent
    def create(self, request: Any) -> Response:
        return created_item(request.data, ctx=request.auth, workflow=_workflow_read(request))

    @operation(
        "readWorkItem",
        "Read a work item",
        scope=Scope.WORKITEMS_READ,
        answers={200: WHOLE_WORK_ITEM},
        headers=("ETag",),
        can_wait=True,
    )
    def retrieve(self, request: Any, work_item_id: str) -> Response:
        item = self.get_object()
        record_reading(item, ctx=request.auth)
        waited = wait_for_change(
            request,
            Watched(Awaited.WORK_ITEM, item.id, item.tenant_id, frozenset({item.status})),
            is_final=item.status in lifecycle.WORK_ITEM.ends,
            etag=item_etag(item),
        )
        return Response(WHOLE_WORK_ITEM.represent(item), headers={"ETag": item_etag(item), **waited})

    @operation(
        "editWorkItem",
        "Change payload or metadata",
        scope=Scope.WORKITEMS_WRITE,
        body=EDIT_WORK_ITEM,
        answers={200: WORK_ITEM},
        needs_if_match=True,
        headers=("ETag",),
        reasons=(
            "transition_not_allowed",
            "execution_in_progress",
            "payload_schema_violation",
            "attachment_not_usable",
        ),
    )
    def partial_update(self, request: Any, work_item_id: str) -> Response:
        """Merge the members that are sent into payload and metadata (RFC 7396): null removes a member.

        If the payload changes, the policies are evaluated again, and approvals of the old payload no longer apply.
        Metadata change nothing but what lists find, as long as the work item is open.
        """
        body = EDIT_WORK_ITEM.check(request.data)
        item = locked_subject(self, work_item_id)
        check_if_match(request, item_etag(item))
        if "metadata" in body:
            merged = {"metadata": merge_patch(item.metadata, body["metadata"])}
            edit_metadata(item, MERGED_METADATA.check(merged)["metadata"], ctx=request.auth)
        if "payload" in body:
            edit_payload(item, merge_patch(item.payload, body["payload"]), ctx=request.auth)
        return self.shown(item, ETag=item_etag(item))

    @verb(
        "cancelWorkItem",
        "Cancel a work item",
        scope=Scope.WORKITEMS_WRITE,
        body=CLOSE_WORK_ITEM,
        answers={200: WORK_ITEM},
        reasons=("transition_not_allowed", "execution_in_progress"),
    )
    def cancel(self, request: Any, work_item_id: str, body: dict[str, Any]) -> Response:
        item = locked_subject(self, work_item_id)
        cancel_work_item(item, ctx=request.auth, reason=body.get("reason", ""))
        return self.shown(item)

    @verb(
        "resolveWorkItem",
        "Resolve a work item",
        scope=Scope.WORKITEMS_WRITE,
        body=CLOSE_WORK_ITEM,
        answers={200: WORK_ITEM},
        reasons=("transition_not_allowed", "execution_in_progress"),
    )
    def resolve(self, request: Any, work_item_id: str, body: dict[str, Any]) -> Response:
        item = locked_subject(self, work_item_id)
        resolve_work_item(item, ctx=request.auth, reason=body.get("reason", ""))
        return self.shown(item)

    @action(detail=True)
    @listing("readTimeline", "List the receipts of a work item", EVENT, scope=Scope.WORKITEMS_READ)
    def timeline(self, request: Any, work_item_id: str) -> Response:
        item = self.get_object()
        receipts = timeline(receipt_selectors.receipts_of(item.id, ctx=request.auth), item, ctx=request.auth)
        return self.page(self.filter_queryset(receipts), represent=EVENT.represent)

    @action(detail=True)
    @operation(
        "explainWorkItem", "Explain the state of a work item", scope=Scope.WORKITEMS_READ, answers={200: EXPLANATION}
    )
    def explain(self, request: Any, work_item_id: str) -> Response:
        item = self.get_object()
        explanation, waits = explanation_with_waits(item, ctx=request.auth)
        return Response(EXPLANATION.represent(explanation, work_item_id=item.id, status=item.status, waits=waits))

    @action(detail=True, methods=["get"])
    @operation(
        "readWatch",
        "Tell whether the caller watches a work item",
        tag="Conversation",
        scope=Scope.WORKITEMS_READ,
        answers={200: WATCH},
    )
    def watch(self, request: Any, work_item_id: str) -> Response:
        item = self.get_object()
        return Response(WATCH.represent(None, work_item_id=item.id, watching=is_watching(item, ctx=request.auth)))

    @watch.mapping.put
    @operation(
        "watchWorkItem",
        "Watch a work item",
        tag="Conversation",
        scope=Scope.WORKITEMS_READ,
        body=EMPTY,
        answers={200: WATCH},
        reasons=("person_required",),
    )
    def begin_watching(self, request: Any, work_item_id: str) -> Response:
        """Notify the caller of comments, answers and decisions. It ends when the caller may not read the item."""
        EMPTY.check(request.data)
        item = self.get_object()
        watch_item(item, ctx=request.auth)
        return Response(WATCH.represent(None, work_item_id=item.id, watching=True))

    @watch.mapping.delete
    @operation(
        "unwatchWorkItem",
        "End watching a work item",
        tag="Conversation",
        scope=Scope.WORKITEMS_READ,
        answers={204: None},
    )
    def end_watching(self, request: Any, work_item_id: str) -> Response:
        unwatch_item(self.get_object(), ctx=request.auth)
        return Response(status=204)


def _search_in(request: Any) -> Search | None:
    """Return the search that the parameter `q` asks for, or None."""
    text = request.query_params.get("q", "").strip()
    if not text:
        return None
    if not order_of(WorkItemFilters, request).is_newest_first:
        problem = FieldError("?sort", "cannot be used with q: a search lists the newest first", "invalid")
        raise errors.InvalidRequest("The query parameters are invalid.", errors=[problem])
    workflows = request.query_params.getlist("workflow_id")
    return partial(search_items, text, ctx=request.auth, workflow=workflows[0] if len(workflows) == 1 else "")


def _named_workflow(request: Any) -> tuple[str, str | None] | None:
    """Return workflow and channel that a small body names; None if it cannot be read without taking it."""
    stream = request.META.get("wsgi.input")
    if type(stream) is not BytesIO or len(raw := stream.getbuffer()) > _LARGEST_READ_AHEAD:
        return None
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    workflow, channel = (body.get("workflow_id"), body.get("channel_id")) if isinstance(body, dict) else (None, None)
    if not isinstance(workflow, str) or not isinstance(channel, str | None) or "\0" in workflow + (channel or ""):
        return None
    return workflow, channel


def _workflow_read(request: Any) -> ReadWorkflow | None:
    """Return the workflow that the statement of `alongside` has found, or None."""
    read: tuple[Statement, Any] | None = getattr(request, "read_alongside", None)
    if read is None or read[1][0] is None:
        return None
    (workflow, channel), row = read[0].params, read[1]
    return ReadWorkflow(workflow, channel, row)


def created_item(sent: Any, *, ctx: ActingContext, workflow: ReadWorkflow | None = None) -> Response:
    """Create the work item that a body describes. Return the answer of its request.

    `workflow`: the row about a workflow and a channel that was read in this transaction.
    """
    body = CREATE_WORK_ITEM.check(sent)
    item = create_work_item(
        IntakeRequest(
            workflow=body["workflow_id"],
            channel=body.get("channel_id"),
            payload=body["payload"],
            requester=body.get("requester"),
            confidence=body.get("confidence", 1.0),
            risk_flags=tuple(body.get("risk_flags", ())),
            evidence=body.get("evidence"),
            external_ref=body.get("external_ref", ""),
            metadata=body.get("metadata", {}),
        ),
        ctx=ctx,
        read=workflow,
    )
    headers = {"Location": f"/work-items/{item.public_id}", "ETag": item_etag(item)}
    return Response(WORK_ITEM.represent(item), status=201, headers=headers)


def found_item(view: TenantView, request: Any, work_item_id: str) -> WorkItem:
    """Return the work item in the path. Raise `NotFound` if the caller may not read it."""
    item = selectors.work_item(path_id(ids.WORK_ITEM, work_item_id), ctx=request.auth)
    if item is None:
        raise errors.NotFound
    view.subject = subject_of(item)
    return item


def locked_subject(view: TenantViewSet, work_item_id: str) -> WorkItem:
    """Lock the work item in the path, and make it the subject of a refusal. Raise `NotFound`."""
    item = locked_item(path_id(ids.WORK_ITEM, work_item_id), ctx=view.request.auth)
    view.subject = subject_of(item)
    return item


def item_etag(item: WorkItem) -> str:
    return etag(item.version, item.status, int(item.updated_at.timestamp() * 1000))
