"""Documents of `kind: Integration`: an external system, its address and authentication, and its actions.

    connector: http                 # workflow has only actions; chat, mail, webhook: see their modules
    base_url: https://bank.example/api
    idempotent: true                # the receiver honours Idempotency-Key; default: false
    auth: {scheme: bearer, secret: {env: BANK_TOKEN}}    # or {scheme: basic, username, secret}
    timeout: PT10S                  # limit of one whole attempt; seconds or ISO 8601
    retry: {attempts: 5, backoff: 2, max_backoff: PT5M, deadline: P1D}    # deadline: from the first attempt
    limits: {concurrency: 5, rate: {calls: 100, per: PT1M}}    # across all workers; default: unlimited
    breaker: {failures: 10, rest: PT30S}    # pause after consecutive failures
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
        completes: callback         # the receiver reports the result later, at the address in Threada-Callback-Url,
        callback_within: PT1H       # signed (Standard Webhooks) with one of the integration's callback_secrets
        # timeout, idempotent, retry: as above, for this action only

The workflow connector's actions are `request_approval: {question?, approvals?}`, `assign: {to}` and `close: {}`.
"""

from __future__ import annotations

from typing import Any, Final

from integrations.documents.chat_actions import ChatGrammar
from integrations.documents.fields import Fields
from integrations.documents.grammar import Destination, Grammar, read_secrets
from integrations.documents.http_actions import HttpGrammar
from integrations.documents.limits import read_limits
from integrations.documents.mail_actions import MailGrammar
from integrations.documents.model import (
    ActionDocument,
    Authentication,
    HttpCall,
    IntegrationDocument,
    WorkflowCall,
)
from integrations.documents.webhook_actions import WebhookGrammar
from integrations.documents.workflow_actions import WorkflowGrammar
from integrations.executions.retry import RetryPolicy
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json import schemas
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.json.strict import check_value

__all__ = [
    "ActionDocument",
    "Authentication",
    "Destination",
    "Fields",
    "Grammar",
    "HttpCall",
    "IntegrationDocument",
    "WorkflowCall",
    "read_integration",
    "register_grammar",
]

_grammars: Final[dict[str, Grammar]] = {
    "chat": ChatGrammar(),
    "http": HttpGrammar(),
    "mail": MailGrammar(),
    "webhook": WebhookGrammar(),
    "workflow": WorkflowGrammar(),
}
DEFAULT_TIMEOUT_S: Final = 10.0
LONGEST_TIMEOUT_S: Final = 300.0
DEFAULT_CALLBACK_S: Final = 3600.0
LONGEST_CALLBACK_S: Final = 30 * 86400.0


def register_grammar(connector: str, grammar: Grammar) -> None:
    """Register the parser of another connector's documents. Raises `ValueError` if another class is registered."""
    taken = _grammars.setdefault(connector, grammar)
    if type(taken) is not type(grammar):
        raise ValueError(f"Documents of the connector {connector!r} are read already, by {type(taken).__name__}.")


def read_integration(spec: Any, *, pointer: str = "/spec") -> IntegrationDocument:
    """Return the integration described by `spec`, a JSON value at `pointer` of its document.

    Raises `DocumentInvalid` whose `errors` list every problem by JSON pointer.
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
    connector = Fields(spec, pointer, errors).choice("connector", sorted(_grammars), required=True)
    if connector is None:
        return IntegrationDocument(connector="")
    grammar = _grammars[connector]
    fields = Fields(spec, pointer, errors, known=grammar.spec_fields)
    destination = grammar.read_spec(fields)
    return IntegrationDocument(
        connector=connector,
        base_url=destination.base_url,
        origin=destination.origin,
        auth=destination.auth,
        secrets=destination.secrets,
        callback_secrets=read_secrets(fields, "callback_secrets", most=2) if "callback_secrets" in fields else (),
        settings=destination.settings,
        limits=read_limits(fields),
        actions=_read_actions(fields, errors, connector=connector, grammar=grammar, destination=destination),
    )


def _read_actions(
    spec: Fields, errors: list[FieldError], *, connector: str, grammar: Grammar, destination: Destination
) -> dict[str, ActionDocument]:
    if not spec.raw("actions"):
        spec.refuse("must name at least one action", "actions", code="required")
        return {}
    written = spec.object("actions")
    # An action on the item runs in one transaction with its outcome, so it never happens twice.
    idempotent = spec.flag("idempotent", default=connector == "workflow")
    timeout_s = spec.seconds("timeout", DEFAULT_TIMEOUT_S, highest=LONGEST_TIMEOUT_S)
    retry = spec.retry("retry", RetryPolicy())
    actions: dict[str, ActionDocument] = {}
    for slug in written.names():
        if not is_slug(slug):
            written.refuse("is no slug: lower-case letters, digits, - and _, at most 63 characters", slug)
            continue
        raw = written.raw(slug)
        action = Fields(raw, written.pointer(slug), errors, known=grammar.action_fields(slug))
        call = grammar.read_call(slug, action, destination)
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
            waits_for_callback_s=_read_callback(action, spec),
            input_schema=_read_schema(action),
        )
    return actions


def _read_callback(action: Fields, spec: Fields) -> float | None:
    """Return the time limit of the receiver's callback in seconds, or None if the action has no callback."""
    completes = action.choice("completes", ("answer", "callback"))
    within_s = action.seconds("callback_within", DEFAULT_CALLBACK_S, highest=LONGEST_CALLBACK_S)
    if completes != "callback":
        return None
    if "callback_secrets" not in spec:
        spec.refuse("is required where an action completes by callback", "callback_secrets", code="required")
    return within_s


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
