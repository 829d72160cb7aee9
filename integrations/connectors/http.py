"""The `http` connector: one request built from the action's templates, one answer judged by its status.

The sealed request is `{method, url, headers, auth}` and, where there is one, `body`:

    headers    an object, names as written in the document
    body       any JSON value, sent as its canonical bytes (RFC 8785)
    auth       null, {scheme: bearer, secret} or {scheme: basic, username, secret}, the secret by reference

Beside what is sealed, a call adds Authorization, Idempotency-Key, User-Agent, traceparent (when there is one), and,
unless the action sets them, Accept and (with a body) Content-Type, both application/json.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from integrations.connectors.answers import outcome_of_answer, outcome_of_status
from integrations.connectors.protocol import CallTerms
from integrations.documents import ActionDocument, HttpCall, IntegrationDocument
from integrations.failures import FailureClass, TransportFailure
from integrations.outcomes import Outcome
from integrations.secrets import parse_reference, resolve
from integrations.templates import Template, render
from integrations.transport import OutboundRequest, UnusableUrl, read_url, send
from threada_site.kernel.canonical import canonical_bytes
from threada_site.kernel.errors import ExpressionFailed

MAX_ANSWER_BYTES: Final = 1024 * 1024


class HttpConnector:
    """Speaks HTTP/1.1 to the host that the integration's `base_url` names, and to no other."""

    name: Final = "http"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As `Connector.build_request`."""
        call = action.call
        if not isinstance(call, HttpCall) or integration.base_url is None or integration.origin is None:
            raise TypeError(f"The action {action.slug} is not one of an http integration.")
        query = "&".join(f"{quote(name, safe='')}={_query_value(name, value, facts)}" for name, value in call.query)
        url = integration.base_url + render(call.path, facts) + (f"?{query}" if query else "")
        try:
            target = read_url(url)
        except UnusableUrl as error:
            raise ExpressionFailed(f"The action's URL cannot be called: {error}") from None
        if target.origin != integration.origin.origin:
            raise ExpressionFailed("The action's URL leaves the integration's host.")
        request = {
            "method": call.method,
            "url": url,
            "headers": {name: render(value, facts) for name, value in call.headers},
            "auth": None if integration.auth is None else integration.auth.as_json(),
        }
        return request if call.body is None else {**request, "body": render(call.body, facts)}

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """As `OutboundConnector.call`."""
        secrets: list[str] = []
        try:
            outbound = _outbound(request, terms, secrets)
            answer = send(
                outbound,
                egress=terms.egress,
                timeout_s=terms.timeout_s,
                max_body_bytes=MAX_ANSWER_BYTES,
                network=terms.network,
                tls=terms.tls,
            )
        except TransportFailure as failure:
            settled = None if failure.status is None else outcome_of_status(failure.status)
            if settled is not None and not settled.ambiguous and not settled.succeeded:
                return settled
            return Outcome.of_failure(failure)
        return outcome_of_answer(answer, now=terms.now, secrets=secrets)


def _query_value(name: str, template: Template, facts: Mapping[str, Any]) -> str:
    value = render(template, facts)
    if value is None or isinstance(value, dict | list):
        raise ExpressionFailed(f"The query parameter {name!r} must be text, a number or a boolean.")
    return quote(value if isinstance(value, str) else canonical_bytes(value).decode(), safe="")


def _outbound(request: Mapping[str, Any], terms: CallTerms, secrets: list[str]) -> OutboundRequest:
    """The request to send. Whatever of it must never be recorded is added to `secrets`."""
    headers: dict[str, str] = dict(request["headers"])
    written = {name.lower() for name in headers}
    body = canonical_bytes(request["body"]) if "body" in request else b""
    if "accept" not in written:
        headers["Accept"] = "application/json"
    if body and "content-type" not in written:
        headers["Content-Type"] = "application/json"
    headers["User-Agent"] = terms.user_agent
    headers["Idempotency-Key"] = terms.idempotency_key
    if terms.traceparent:
        headers["traceparent"] = terms.traceparent
    if request["auth"] is not None:
        headers["Authorization"] = _authorization(request["auth"], terms, secrets)
    try:
        return OutboundRequest(request["method"], request["url"], tuple(headers.items()), body)
    except ValueError as error:
        raise TransportFailure(
            FailureClass.ENVELOPE_MISMATCH, f"The request cannot be sent as sealed: {error}"
        ) from None


def _authorization(auth: Mapping[str, Any], terms: CallTerms, secrets: list[str]) -> str:
    reference = parse_reference(auth["secret"])
    secret = resolve(reference, terms.environ).reveal()
    secrets.append(secret)
    if auth["scheme"] == "basic":
        token = base64.b64encode(f"{auth['username']}:{secret}".encode()).decode()
        secrets.append(token)
        return f"Basic {token}"
    if not secret.isascii() or " " in secret:
        detail = f"The secret {reference} is no bearer token: it holds blanks or characters outside ASCII."
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail)
    return f"Bearer {secret}"
