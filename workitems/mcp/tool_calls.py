"""Calls of governed tools: each becomes a work item, and the execution of an action on it."""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Final

import orjson
from django.conf import settings
from rest_framework.response import Response

from integrations.configuration.parsed_documents import document_of
from integrations.documents import IntegrationDocument
from integrations.documents.mcp_actions import MCP
from integrations.models import Integration
from integrations.selectors import readable_integration
from integrations.tools.pins import CALL_WORKFLOW, facts_of
from integrations.tools.usable import callable_tool, callable_tools
from threada_site.api.conditional_requests.waiting import resumed_by
from threada_site.api.idempotency import REPLAYED, KeyReservation, forget_answers
from threada_site.api.models import IdempotencyRecord
from threada_site.api.shapes import shape
from threada_site.api.stored_answers import opened_answer
from threada_site.api.views import TenantView, path_id, path_slug
from threada_site.database.batched_writes import batched_writes
from threada_site.database.sets.shared_reads import shared_reads
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.waits import Watched
from workitems import selectors
from workitems.api.actions import started_action, state_of, wait_for_end
from workitems.api.items import created_item
from workitems.executions.equal_request import equal_request
from workitems.executions.repeated_request import EarlierRequest, own_request
from workitems.executions.request_action import ActionRequest
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.lifecycle import WORK_ITEM as LIFECYCLE
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem

ACTION: Final = "call_tool"
"""Action of an integration that calls the tool in the payload."""
CHANNEL: Final = "mcp"
PACK: Final = "mcp_tools"
_CALL: Final = shape(
    {
        "tool": {"type": "string", "minLength": 1, "maxLength": 128},
        "arguments": {"type": "object"},
        "requester": {"type": "string", "minLength": 1, "maxLength": 100},
    },
    required=("tool", "arguments"),
)


class OfferedTools(TenantView):
    """Tools that can be called at the gateway of an integration, with their accepted descriptions."""

    scopes: ClassVar = {"GET": Scope.ACTIONS_EXECUTE}

    def get(self, request: Any, integration_id: str) -> Response:
        integration, document = gateway_of(integration_id, ctx=request.auth)
        rows = callable_tools(integration, document).values_list("name", "accepted")
        return Response({"tools": [{**(accepted or {}), "name": name} for name, accepted in rows]})


class CallTool(TenantView):
    """Call of a tool. Equal arguments return the existing call, and with a key only that key does."""

    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @resumed_by("answer_after_wait")
    def post(self, request: Any, integration_id: str) -> Response:
        ctx = request.auth
        call = _CALL.check(request.data)
        reservation = _reservation(
            path_slug(integration_id), call, key=request.META.get("HTTP_IDEMPOTENCY_KEY"), ctx=ctx
        )
        record = reservation.reserve_key()
        with shared_reads():  # begins after the wait for the key
            integration, document = gateway_of(integration_id, ctx=ctx)
            tool = callable_tool(integration, document, call["tool"])
            item = _item_of(record, call, ctx=ctx)
            earlier = None
            if item is not None:
                earlier = equal_request(item, integration=integration.slug, action=ACTION, input_={}, ctx=ctx)
            if earlier is not None:
                self.subject = subject_of(earlier.item, execution=earlier.execution)
                earlier.check_permitted(ctx=ctx)
                response = self._state(request, earlier)
                response.headers[REPLAYED] = "true"
                return response
            if item is None or not LIFECYCLE.is_open(WorkItemStatus(item.status)):
                facts = facts_of(integration, tool)
                item = self._created(call, facts, reservation, was_used=record is not None, ctx=ctx)
            self.subject = subject_of(item)
            asked = ActionRequest(integration=integration.slug, action=ACTION)
            response, execution = started_action(item, asked, ctx=ctx)
        wait_for_end(request, execution)
        return response

    def answer_after_wait(self, request: Any, watched: Watched) -> Response:
        """Return the state of the call after a wait. Credential and permissions are checked like before."""
        earlier = own_request(watched.id, ctx=request.auth)
        self.subject = subject_of(earlier.item, execution=earlier.execution)
        earlier.check_permitted(ctx=request.auth)
        return self._state(request, earlier)

    def _created(
        self,
        call: dict[str, Any],
        facts: dict[str, Any],
        reservation: KeyReservation,
        *,
        was_used: bool,
        ctx: ActingContext,
    ) -> WorkItem:
        """Return the new, locked work item of a call, which equal calls find."""
        named = {"requester": call["requester"]} if "requester" in call else {}
        payload = {**facts, "arguments": call["arguments"]}
        try:
            with batched_writes():
                created = created_item(
                    {"workflow_id": CALL_WORKFLOW, "channel_id": CHANNEL, "payload": payload, **named}, ctx=ctx
                )
                if was_used:
                    forget_answers([reservation])
                reservation.remember(Response({"work_item_id": created.data["work_item_id"]}))
        except (errors.UnknownWorkflow, errors.UnknownChannel) as missing:
            missing.detail = (
                f"There is no workflow {CALL_WORKFLOW} or no channel {CHANNEL} here. Install the pack {PACK} from the "
                "gallery of the console, or apply your own documents."
            )
            raise
        return _own_locked(created.data["work_item_id"], ctx=ctx)

    def _state(self, request: Any, earlier: EarlierRequest) -> Response:
        """Return the state of a call. Once the end of a call that only reads was returned, an equal one calls again."""
        response = state_of(earlier, request=request)
        if response.status_code == 200 and _only_reads(earlier.item.payload):
            _forget_item(earlier.item, integration=earlier.execution.integration, ctx=request.auth)
        return response


def gateway_of(slug: str, *, ctx: ActingContext) -> tuple[Integration, IntegrationDocument]:
    """Return an integration whose tools the caller may call, and its document. Raise `NotFound`, `UnknownAction`."""
    integration = readable_integration(path_slug(slug), ctx=ctx)
    if integration is None or integration.connector != MCP or integration.current_version is None:
        raise errors.NotFound("There is no MCP server of this name here.")
    document = document_of(integration.current_version)
    if ACTION not in document.actions:
        raise errors.UnknownAction(
            f"The integration {slug} has no action {ACTION}. Add `{ACTION}: {{resolves: true}}` to its actions."
        )
    return integration, document


def _reservation(integration: str, call: dict[str, Any], *, key: str | None, ctx: ActingContext) -> KeyReservation:
    """Return the reservation that stands for a call: for its key, or for its arguments. Digests are keyed."""
    by_arguments = _keyed(call)
    named = by_arguments if key is None else _keyed({"key": key})
    return KeyReservation(ctx, f"{CHANNEL}:{integration}", named, by_arguments)


def _keyed(value: Any) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), canonical_sha256(value).encode(), "sha256").hexdigest()


def _item_of(record: IdempotencyRecord | None, call: dict[str, Any], *, ctx: ActingContext) -> WorkItem | None:
    """Return the locked work item of an earlier call, if the caller may still read it and its payload is that call."""
    if record is None:
        return None
    found = path_id(ids.WORK_ITEM, orjson.loads(opened_answer(record))["work_item_id"])
    try:
        item = locked_item(found, ctx=ctx)
    except errors.NotFound:
        return None
    return (
        item if (item.payload.get("tool"), item.payload.get("arguments")) == (call["tool"], call["arguments"]) else None
    )


def _own_locked(work_item_id: str, *, ctx: ActingContext) -> WorkItem:
    """Return a work item that this transaction has created, so the caller may read it."""
    item = selectors.work_item_for_update(path_id(ids.WORK_ITEM, work_item_id), tenant_id=ctx.tenant_id)
    assert item is not None  # noqa: S101 - it was inserted before
    return item


def _only_reads(payload: Any) -> bool:
    """Return True if a payload says that the tool only reads; False if its contents were removed."""
    annotations = payload.get("annotations") if isinstance(payload, dict) else None
    return isinstance(annotations, dict) and annotations.get("read_only") is True


def _forget_item(item: WorkItem, *, integration: str, ctx: ActingContext) -> None:
    """Let an equal call without a key make a new work item."""
    call = {"tool": item.payload["tool"], "arguments": item.payload["arguments"]}
    requesters = (ids.public_id(ids.PRINCIPAL, item.requester_id), item.requester.username)
    named = ({}, *({"requester": requester} for requester in requesters))
    forget_answers([_reservation(integration, {**call, **each}, key=None, ctx=ctx) for each in named])
