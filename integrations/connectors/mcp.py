"""The `mcp` connector: one call of a tool of an MCP server.

The request in the envelope is `{method: POST, url, headers, auth, tool, body}`:

    tool   {name, sha256}: the tool, and the digest of the description that a person accepted
    body   the message, sent as its canonical bytes (RFC 8785)

`sha256` is added where the tool is looked up, when the envelope is built, with the version of the protocol that the
server speaks. A request without it is not sent. Older versions need a session, which is opened for each call.

| answer | outcome |
|---|---|
| result | succeeded; `response.body` is the result of the tool |
| result with `isError`; error of the protocol that says that nothing was done | `rejected_by_receiver` |
| other error, no result, task or question | `bad_response`, ambiguous |
| status other than 2xx | as of the `http` connector |
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure, envelope_mismatch
from integrations.attempts.outcomes import Outcome
from integrations.connectors.call_credentials import authenticated
from integrations.connectors.exchange import exchange, outbound_request
from integrations.connectors.mcp_messages import (
    HANDSHAKE_VERSIONS,
    UnusableMessage,
    headers_of,
    message,
    result_in,
)
from integrations.connectors.mcp_sessions import NoSessionError, Server
from integrations.connectors.protocol import CallTerms
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.mcp_actions import MCP, McpCall
from integrations.documents.templates import render
from integrations.transport import OutboundAnswer
from threada_site.kernel.errors import ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes

_METHOD: Final = "tools/call"


class McpConnector:
    """Calls only the server at the integration's `base_url`."""

    name: Final = MCP

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call = action.call
        if not isinstance(call, McpCall):
            raise TypeError(f"The action {action.slug} is not one of an mcp integration.")
        tool, arguments = render(call.tool, facts), render(call.arguments, facts)
        if not isinstance(tool, str) or not isinstance(arguments, dict):
            raise ExpressionFailed("The tool must be text, and its arguments an object.")
        return {
            "method": "POST",
            "url": integration.base_url,
            "headers": headers_of(_METHOD, name=tool),
            "auth": None if integration.auth is None else integration.auth.as_json(),
            "tool": {"name": tool},
            "body": message(_METHOD, {"name": tool, "arguments": arguments}),
        }

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Call the tool, see `OutboundConnector.call`."""
        secrets: list[str] = []
        try:
            if "sha256" not in request["tool"]:
                raise envelope_mismatch("The request names no accepted description of the tool.")
            terms, own = authenticated(request, terms, secrets)
            server = Server(request["url"], terms, own, secrets, time.monotonic() + terms.timeout_s)
            if request["headers"]["MCP-Protocol-Version"] in HANDSHAKE_VERSIONS:
                return _called_in_session(request, server)
            return _called(request, server, own)
        except NoSessionError as failed:
            return failed.outcome
        except TransportFailure as failure:
            return Outcome.of_failure(failure)


def in_version(request: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return the request for a server that speaks `version`."""
    params = request["body"]["params"]
    asked = {name: params[name] for name in ("name", "arguments")}
    return {
        **request,
        "headers": headers_of(_METHOD, name=asked["name"], version=version),
        "body": message(_METHOD, asked, version=version),
    }


def _called_in_session(request: Mapping[str, Any], server: Server) -> Outcome:
    """Call the tool in a session of its own. A server that speaks another version than the envelope is not called."""
    version = request["headers"]["MCP-Protocol-Version"]
    session = server.open_session(version)
    try:
        if session.version != version:
            raise envelope_mismatch(f"The MCP server speaks {session.version} now. The envelope is for {version}.")
        return _called(request, server, {**server.own_headers, **session.headers})
    finally:
        server.close_session(session)


def _called(request: Mapping[str, Any], server: Server, own_headers: Mapping[str, str]) -> Outcome:
    terms = server.terms
    outbound = outbound_request(request, canonical_bytes(request["body"]), terms, own_headers)
    return exchange(outbound, replace(terms, timeout_s=server.time_left()), secrets=server.secrets, judge=_judged)


def _judged(answer: OutboundAnswer) -> tuple[OutboundAnswer, Outcome | None]:
    """Return the answer with the result of the tool as its body, and the failure that it states, or None."""
    try:
        result = result_in(answer)
    except UnusableMessage as unusable:
        failure = FailureClass.REJECTED_BY_RECEIVER if unusable.is_refusal else FailureClass.BAD_RESPONSE
        return answer, Outcome(failure=failure, ambiguous=not unusable.is_refusal, detail=unusable.detail)
    found = replace(answer, headers=(("content-type", "application/json"),), body=canonical_bytes(result))
    if result.get("resultType", "complete") != "complete":
        detail = "The MCP server did not end the call, and asked for something that Threada does not send."
        return found, Outcome(failure=FailureClass.BAD_RESPONSE, ambiguous=True, detail=detail)
    if result.get("isError"):
        detail = "The tool reported an error. Its result says which."
        return found, Outcome(failure=FailureClass.REJECTED_BY_RECEIVER, detail=detail)
    return found, None
