"""Documents of `kind: Integration`: an external system, its address and authentication, and its actions.

    connector: http                 # workflow has only actions; chat, mail, mcp, mock, webhook: see their modules
    base_url: https://bank.example/api
    idempotent: true                # the receiver honours Idempotency-Key; default: false
    auth: {scheme: bearer, secret: {env: BANK_TOKEN}}    # further schemes: integrations/documents/auth_schemes.py
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
        succeeds_when: "body.ok == true"    # for APIs that answer 200 with an error; see success.py, also for tests
        # instead of body: form (application/x-www-form-urlencoded), file, multipart
        input_schema: {type: object}
        resolves: true              # success resolves the work item
        undo: refund                # another action of this integration
        undo_after: "P${item.payload.days}D"    # Threada starts the undo by itself so long after success
        completes: callback         # the receiver reports the result later, at the address in Threada-Callback-Url,
        callback_within: PT1H       # signed (Standard Webhooks) with one of the integration's callback_secrets
        # timeout, idempotent, retry: as above, for this action only

The workflow connector's actions are `request_approval: {question?, approvals?}`, `assign: {to}` and `close: {}`. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from integrations.attempts.retry import RetryPolicy
from integrations.documents.chat_actions import ChatGrammar
from integrations.documents.fields import Fields
from integrations.documents.grammar import Destination, Grammar, read_secrets
from integrations.documents.http_actions import HttpGrammar
from integrations.documents.limits import read_limits
from integrations.documents.mail_actions import MailGrammar
from integrations.documents.mcp_actions import MCP, McpGrammar
from integrations.documents.mock_actions import MOCK, MockGrammar
from integrations.documents.model import (
    ActionDocument,
    Authentication,
    HttpCall,
    IntegrationDocument,
    WorkflowCall,
)
from integrations.documents.schema import (
    DEFAULT_CALLBACK_S,
    DEFAULT_TIMEOUT_S,
    LONGEST_CALLBACK_S,
    LONGEST_TIMEOUT_S,
    SECRET,
    integration_schema,
)
from integrations.documents.timed_undo import read_undo_after
from integrations.documents.webhook_actions import WebhookGrammar
from integrations.documents.workflow_actions import WorkflowGrammar
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.structure import Schema, Structure
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable
from threada_site.kernel.json import patterns, schemas
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.json.strict import check_value

__all__ = [
    "SECRET",
    "ActionDocument",
    "Authentication",
    "Destination",
    "Fields",
    "Grammar",
    "HttpCall",
    "IntegrationDocument",
    "WorkflowCall",
    "integration_schema",
    "integration_schemas",
    "read_integration",
    "register_grammar",
]

_grammars: Final[dict[str, Grammar]] = {
    "chat": ChatGrammar(),
    "http": HttpGrammar(),
    "mail": MailGrammar(),
    MCP: McpGrammar(),
    MOCK: MockGrammar(),
    "webhook": WebhookGrammar(),
    "workflow": WorkflowGrammar(),
}


def register_grammar(connector: str, grammar: Grammar) -> None:
    """Register the parser of another connector's documents. Raises `ValueError` if another class is registered."""
    taken = _grammars.setdefault(connector, grammar)
    if type(taken) is not type(grammar):
        raise ValueError(f"Documents of the connector {connector!r} are read already, by {type(taken).__name__}.")


def integration_schemas() -> dict[str, Schema]:
    """Return the JSON Schema of the spec for each connector."""
    found = {}
    for name, grammar in sorted(_grammars.items()):
        properties = grammar.schema["properties"]
        connector = {**properties["connector"], "const": name}
        found[name] = {**grammar.schema, "properties": {**properties, "connector": connector}}
    return found


def read_integration(spec: Any, *, pointer: str = "/spec") -> IntegrationDocument:
    """Return the integration described by `spec`, a JSON value at `pointer` of its document.

    Raises `DocumentInvalid` whose `errors` list every problem by JSON pointer.
    """
    try:
        check_value(spec)
    except JsonNotInteroperable as error:
        raise DocumentInvalid(errors=[FieldError(pointer, error.detail)]) from None
    errors = _structure("").check(spec, pointer)
    if not errors.found:
        errors = _structure(spec["connector"]).check(spec, pointer)
    if errors.is_full or not isinstance(spec, dict) or not errors.is_clean(f"{pointer}/connector"):
        errors.raise_any(value=spec, pointer=pointer)
    document = _read(spec, pointer, errors)
    errors.raise_any(value=spec, pointer=pointer)
    return document


@lru_cache(maxsize=64)
def _structure(connector: str) -> Structure:
    """Return the structure of specs of a connector, or of "" only the one that all share."""
    if connector:
        return Structure(_grammars[connector].schema)
    connectors = {"enum": sorted(_grammars), "title": "connector"}
    said = "An integration is an object. Write {connector: http, base_url: …, actions: {…}}."
    return Structure(
        {"type": "object", "properties": {"connector": connectors}, "required": ["connector"], "errorMessage": said}
    )


def _read(spec: dict[str, Any], pointer: str, errors: FieldErrors) -> IntegrationDocument:
    connector = spec["connector"]
    grammar = _grammars[connector]
    fields = Fields(spec, pointer, errors)
    destination = grammar.read_spec(fields)
    return IntegrationDocument(
        connector=connector,
        base_url=destination.base_url,
        origin=destination.origin,
        sent_to=destination.sent_to or destination.base_url or "",
        auth=destination.auth,
        secrets=destination.secrets,
        callback_secrets=read_secrets(fields, "callback_secrets"),
        settings=destination.settings,
        limits=read_limits(fields),
        actions=_read_actions(fields, spec, connector=connector, grammar=grammar, destination=destination),
    )


def _read_actions(
    spec: Fields, written: dict[str, Any], *, connector: str, grammar: Grammar, destination: Destination
) -> dict[str, ActionDocument]:
    named = spec.object("actions")
    # An action on the item runs in one transaction with its outcome, and a simulated one sends nothing: neither happens
    # twice.
    idempotent = spec.value("idempotent", connector in ("workflow", MOCK))
    timeout_s = spec.seconds("timeout", DEFAULT_TIMEOUT_S, highest=LONGEST_TIMEOUT_S)
    retry = spec.retry("retry", RetryPolicy())
    actions: dict[str, ActionDocument] = {}
    for slug in named.names():
        action = named.object(slug)
        undo = action.value("undo")
        if undo is not None and (undo == slug or undo not in written["actions"]):
            action.refuse("undo must name another action of this integration.", "undo")
        actions[slug] = ActionDocument(
            slug=slug,
            call=grammar.read_call(slug, action, destination),
            sha256=canonical_sha256(written["actions"][slug]),
            idempotent=action.value("idempotent", idempotent),
            timeout_s=action.seconds("timeout", timeout_s, highest=LONGEST_TIMEOUT_S),
            retry=action.retry("retry", retry),
            resolves=action.value("resolves", slug == "close" and connector == "workflow"),
            undo=undo,
            undo_after=read_undo_after(action, undo, written["actions"].get(undo)),
            waits_for_callback_s=_read_callback(action, spec, written),
            input_schema=_read_schema(action),
        )
    return actions


def _read_callback(action: Fields, spec: Fields, written: dict[str, Any]) -> float | None:
    """Return the time limit of the receiver's callback in seconds, or None if the action has no callback."""
    within_s = action.seconds("callback_within", DEFAULT_CALLBACK_S, highest=LONGEST_CALLBACK_S)
    if action.value("completes") != "callback":
        return None
    is_missing = "callback_secrets" not in written and spec.errors.is_clean(spec.pointer("callback_secrets"))
    if is_missing and written["connector"] != MOCK:
        said = "callback_secrets is required where an action completes by callback."
        spec.refuse(said, "callback_secrets", code="required")
    return within_s


def _read_schema(action: Fields) -> dict[str, Any] | None:
    schema: dict[str, Any] | None = action.value("input_schema")
    try:
        if schema is not None and not patterns.fit_together(schema):
            action.refuse("The patterns of the schema are too large together. Shorten them.", "input_schema")
        elif schema is not None:
            schemas.validator(schema, pattern_options=patterns.OPTIONS)
    except ValueError as error:
        action.refuse(f"This is not a JSON Schema: {str(error)[:300]}", "input_schema")
    return schema
