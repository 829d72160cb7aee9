"""One request and its outcome: shared code of the connectors that use HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.protocol import CallTerms
from integrations.connectors.response_outcomes import outcome_of_answer, outcome_of_status, without
from integrations.documents import IntegrationDocument
from integrations.documents.templates import Template, render
from integrations.transport import OutboundAnswer, OutboundRequest, StreamedBody, UnusableUrl, read_url, send
from threada_site.kernel.errors import ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes

MAX_ANSWER_BYTES: Final = 1024 * 1024


def url_of(integration: IntegrationDocument, path: Template, facts: Mapping[str, Any], query: str = "") -> str:
    """Return the URL of an action. Raises `ExpressionFailed`, also if the URL leaves the integration's host."""
    if integration.base_url is None or integration.origin is None:
        raise TypeError("The integration has no base_url.")
    url = integration.base_url + render(path, facts) + (f"?{query}" if query else "")
    try:
        target = read_url(url)
    except UnusableUrl as error:
        raise ExpressionFailed(f"The action's URL cannot be called: {error}") from None
    if target.origin != integration.origin.origin:
        raise ExpressionFailed("The action's URL leaves the integration's host.")
    return url


type Judge = Callable[[OutboundAnswer], tuple[OutboundAnswer, Outcome | None]]
"""Returns the answer to record for one of status 2xx, and the failure that its body states, or None."""


def exchange(
    outbound: OutboundRequest, terms: CallTerms, *, secrets: Sequence[str], judge: Judge | None = None
) -> Outcome:
    """Send once and classify the response. Raises nothing; the outcome contains none of `secrets`."""
    try:
        answer = send(
            outbound,
            egress=terms.egress,
            timeout_s=terms.timeout_s,
            max_body_bytes=MAX_ANSWER_BYTES,
            network=terms.network,
            tls=terms.tls,
            kept_for=terms.kept_for,
        )
    except TransportFailure as failure:
        settled = None if failure.status is None else outcome_of_status(failure.status)
        if settled is not None and not settled.ambiguous and not settled.succeeded:
            return settled
        return Outcome.of_failure(failure)
    if answer.status == HTTPStatus.UNAUTHORIZED and terms.tokens is not None:
        terms.tokens.forget()
    return outcome_by(judge, answer, now=terms.now, secrets=secrets)


def outcome_by(judge: Judge | None, answer: OutboundAnswer, *, now: datetime, secrets: Sequence[str] = ()) -> Outcome:
    """Return the outcome of a complete response: of its status, and of 2xx as `judge` states it."""
    stated = None
    if judge is not None and 200 <= answer.status < 300:
        answer, stated = judge(answer)
    outcome = outcome_of_answer(answer, now=now, secrets=secrets)
    if stated is None or not outcome.succeeded:
        return outcome
    return replace(stated, response=outcome.response, detail=without(stated.detail, secrets))


def outbound_request(
    request: Mapping[str, Any], body: bytes | StreamedBody, terms: CallTerms, own_headers: Mapping[str, str]
) -> OutboundRequest:
    """Return the envelope's `{method, url, headers}` with the headers of every call.

    These are User-Agent, Idempotency-Key, traceparent, the connector's own headers, and media types unless the action
    sets them.
    """
    headers: dict[str, str] = dict(request["headers"])
    written = {name.lower() for name in headers}
    if "accept" not in written:
        headers["Accept"] = "application/json"
    if body and "content-type" not in written:
        headers["Content-Type"] = "application/json"
    headers["User-Agent"] = terms.user_agent
    headers["Idempotency-Key"] = terms.idempotency_key
    if terms.traceparent:
        headers["traceparent"] = terms.traceparent
    if terms.callback_url:
        headers["Threada-Callback-Url"] = terms.callback_url
    headers.update(own_headers)
    try:
        return OutboundRequest(request["method"], request["url"], tuple(headers.items()), body)
    except ValueError as error:
        raise TransportFailure(
            FailureClass.ENVELOPE_MISMATCH, f"The request cannot be sent as the envelope contains it: {error}"
        ) from None


def query_value(name: str, template: Template, facts: Mapping[str, Any]) -> str:
    """Return one query value, percent-encoded. Raises `ExpressionFailed`."""
    value = render(template, facts)
    if value is None or isinstance(value, dict | list):
        raise ExpressionFailed(f"The query parameter {name!r} must be text, a number or a boolean.")
    return quote(value if isinstance(value, str) else canonical_bytes(value).decode(), safe="")
