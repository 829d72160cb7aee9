"""`kind: Integration` documents: an external system, how it is reached, and what may be done with it.

    connector: http                 # or workflow, which has actions alone
    base_url: https://bank.example/api
    idempotent: true                # the receiver honours Idempotency-Key; false unless written
    auth: {scheme: bearer, secret: {env: BANK_TOKEN}}    # or {scheme: basic, username, secret}
    timeout: PT10S                  # of one attempt, the whole of it; seconds or ISO 8601
    retry: {attempts: 5, backoff: 2, max_backoff: PT5M, deadline: P1D}    # of all attempts, from the first
    actions:
      pay:
        method: POST
        path: "/accounts/${item.payload.account}/payments"
        query: {dry_run: false}
        headers: {X-Reason: "${ctx.action}"}
        body: {vendor: "${item.payload.vendor}", amount_minor: "${item.payload.amount_minor}"}
        input_schema: {type: object}
        resolves: true              # success resolves the work item
        undo: refund                # another action of this integration
        # timeout, idempotent, retry: as above, for this action alone

The workflow connector's actions are `request_approval: {question?, approvals?}`, `assign: {to}` and `close: {}`.
"""

from __future__ import annotations

from typing import Any, Final

from integrations.documents import http_actions, workflow_actions
from integrations.documents.fields import Fields
from integrations.documents.model import (
    ActionDocument,
    Authentication,
    HttpCall,
    IntegrationDocument,
    WorkflowCall,
)
from integrations.retry import RetryPolicy
from threada_site.kernel import schemas
from threada_site.kernel.canonical import canonical_sha256
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable
from threada_site.kernel.ids import is_slug
from threada_site.kernel.interop import check_value

__all__ = ["ActionDocument", "Authentication", "HttpCall", "IntegrationDocument", "WorkflowCall", "read_integration"]

CONNECTORS: Final = ("http", "workflow")
DEFAULT_TIMEOUT_S: Final = 10.0
LONGEST_TIMEOUT_S: Final = 300.0


def read_integration(spec: Any, *, pointer: str = "/spec") -> IntegrationDocument:
    """The integration that `spec`, a JSON value at `pointer` of its document, describes.

    Raises `DocumentInvalid` whose `errors` name everything that is wrong with it, by JSON pointer.
    """
    try:
        check_value(spec)
    except JsonNotInteroperable as error:
        raise DocumentInvalid(errors=[FieldError(pointer, error.detail)]) from None
    errors: list[FieldError] = []
    document = _read(spec, pointer, errors)
    if errors:
        raise DocumentInvalid(errors=errors)
    return document


def _read(spec: Any, pointer: str, errors: list[FieldError]) -> IntegrationDocument:
    connector = Fields(spec, pointer, errors).choice("connector", CONNECTORS, required=True)
    if connector is None:
        return IntegrationDocument(connector="")
    is_http = connector == "http"
    known = http_actions.SPEC_FIELDS if is_http else workflow_actions.SPEC_FIELDS
    fields = Fields(spec, pointer, errors, known=known)
    base_url, origin = http_actions.read_base_url(fields) if is_http else (None, None)
    auth = http_actions.read_auth(fields) if is_http else None
    actions = _read_actions(fields, errors, connector=connector, base_url=base_url)
    return IntegrationDocument(connector=connector, base_url=base_url, origin=origin, auth=auth, actions=actions)


def _read_actions(
    spec: Fields, errors: list[FieldError], *, connector: str, base_url: str | None
) -> dict[str, ActionDocument]:
    if not spec.raw("actions"):
        spec.refuse("must name at least one action", "actions", code="required")
        return {}
    written = spec.object("actions")
    # An act upon the item runs in one transaction with its outcome, so it never happens twice.
    idempotent = spec.flag("idempotent", default=connector == "workflow")
    timeout_s = spec.seconds("timeout", DEFAULT_TIMEOUT_S, highest=LONGEST_TIMEOUT_S)
    retry = spec.retry("retry", RetryPolicy())
    actions: dict[str, ActionDocument] = {}
    for slug in written.names():
        if not is_slug(slug):
            written.refuse("is no slug: lower-case letters, digits, - and _, at most 63 characters", slug)
            continue
        raw = written.raw(slug)
        if connector == "http":
            action = Fields(raw, written.pointer(slug), errors, known=http_actions.ACTION_FIELDS)
            call: HttpCall | WorkflowCall | None = http_actions.read_http_call(action, base_url)
        else:
            known = workflow_actions.ACTION_FIELDS.get(slug)
            action = Fields(raw, written.pointer(slug), errors, known=known)
            call = workflow_actions.read_workflow_call(slug, action)
        if call is None:
            continue
        undo = action.text("undo")
        if undo is not None and (undo == slug or undo not in written):
            action.refuse("must name another action of this integration", "undo")
        actions[slug] = ActionDocument(
            slug=slug,
            call=call,
            sha256=canonical_sha256(raw),
            idempotent=action.flag("idempotent", default=idempotent),
            timeout_s=action.seconds("timeout", timeout_s, highest=LONGEST_TIMEOUT_S),
            retry=action.retry("retry", retry),
            resolves=action.flag("resolves", default=slug == "close" and connector == "workflow"),
            undo=undo,
            input_schema=_read_schema(action),
        )
    return actions


def _read_schema(action: Fields) -> dict[str, Any] | None:
    schema = action.raw("input_schema")
    if schema is None:
        return None
    try:
        if not isinstance(schema, dict):
            raise TypeError("must be an object")
        schemas.validator(schema)
    except (ValueError, TypeError) as error:
        action.refuse(f"is no JSON Schema: {str(error)[:300]}", "input_schema")
        return None
    return schema
