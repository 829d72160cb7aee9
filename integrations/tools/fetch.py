"""`tools/list` of an MCP server: all pages, within limits of time, size and number.

The newest version of the protocol is tried first. A server that does not understand it is asked again in a session.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.connectors.call_credentials import authenticated
from integrations.connectors.exchange import outbound_request
from integrations.connectors.mcp_messages import PROTOCOL_VERSION, UnusableMessage, headers_of, message, result_in
from integrations.connectors.mcp_sessions import NoSessionError, Server, Session
from integrations.connectors.protocol import CallTerms
from integrations.connectors.response_outcomes import without
from integrations.documents import IntegrationDocument
from integrations.secrets.access import SecretAccess
from integrations.secrets.access_tokens import AccessTokens
from integrations.tools.descriptions import MOST_TOOLS, UnusableTool, read_description
from integrations.transport import EgressPolicy, send
from threada_site.kernel.json.canonical import canonical_bytes

MOST_PAGES: Final = 20
MOST_BYTES: Final = 1024 * 1024
"""Size of one page."""
MOST_TOGETHER: Final = 512 * 1024
"""Size of all descriptions together."""
TIMEOUT_S: Final = 15.0
"""Time for all pages together."""
_METHOD: Final = "tools/list"
_LONGEST_CURSOR: Final = 2_000
_MOST_NAMED: Final = 3
_OF_THE_CALLER: Final = frozenset({401, 403, 407, 429, 503})
"""Statuses with which a server of any version refuses the caller."""

type Tools = dict[str, dict[str, Any]]


class UnreadableTools(Exception):
    """No list of tools was read. The message says why, without secrets."""


class _NotUnderstoodError(UnreadableTools):
    """The answer may be that of a server that does not speak the version of the message."""


def fetch_tools(document: IntegrationDocument, access: SecretAccess) -> tuple[Tools, str, str]:
    """Return the descriptions by name, what is wrong with others that are left out, and the version of the protocol
    that the server speaks. Raise `UnreadableTools`."""
    secrets: list[str] = []
    try:
        server = _server(document, access, secrets)
        sent, version = _listed(server)
        found, problems = _usable(sent, secrets)
        if len(canonical_bytes(found)) > MOST_TOGETHER:
            raise UnreadableTools(f"The MCP server sent descriptions of more than {MOST_TOGETHER} bytes together.")
        return found, without(_said(problems), secrets), version
    except TransportFailure as failure:
        raise UnreadableTools(without(f"{failure.failure}: {failure.detail}", secrets)) from None
    except UnreadableTools as unreadable:
        raise UnreadableTools(without(str(unreadable), secrets)) from None


def _server(document: IntegrationDocument, access: SecretAccess, secrets: list[str]) -> Server:
    terms = CallTerms(
        idempotency_key="",
        timeout_s=TIMEOUT_S,
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        user_agent=f"Threada/{settings.THREADA_VERSION}",
        secrets=access,
        tokens=AccessTokens(access),
    )
    assert document.base_url is not None  # noqa: S101 - the grammar requires it
    auth = None if document.auth is None else document.auth.as_json()
    terms, own = authenticated({"url": document.base_url, "auth": auth}, terms, secrets)
    return Server(document.base_url, terms, own, secrets, time.monotonic() + TIMEOUT_S)


def _listed(server: Server) -> tuple[list[Any], str]:
    """Return the tools as they were sent, and the version spoken: the newest, or what a handshake settles."""
    try:
        return _all_pages(server, Session(PROTOCOL_VERSION)), PROTOCOL_VERSION
    except _NotUnderstoodError as error:
        refused = error
    try:
        session = server.open_session()
    except NoSessionError as failed:
        raise UnreadableTools(f"{refused} {failed}") from None
    try:
        return _all_pages(server, session), session.version
    finally:
        server.close_session(session)


def _all_pages(server: Server, session: Session) -> list[Any]:
    """Return the tools of all pages as they were sent."""
    sent: list[Any] = []
    cursor: str | None = None
    for _page in range(MOST_PAGES):
        result = _page_of(server, session, cursor=cursor)
        tools, cursor = result.get("tools"), result.get("nextCursor")
        if not isinstance(tools, list):
            raise UnreadableTools("The MCP server sent no list of tools.")
        sent.extend(tools)
        if len(sent) > MOST_TOOLS:
            raise UnreadableTools(f"The MCP server offers more than {MOST_TOOLS} tools.")
        if cursor is None:
            return sent
        if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
            raise UnreadableTools("The MCP server sent a cursor that is no short text.")
    raise UnreadableTools(f"The MCP server sent more than {MOST_PAGES} pages of tools.")


def _page_of(server: Server, session: Session, *, cursor: str | None) -> dict[str, Any]:
    """Return one page. Raise `TransportFailure` or `UnreadableTools`."""
    if time.monotonic() >= server.ends_at:
        raise UnreadableTools(f"The MCP server did not send all tools within {TIMEOUT_S:g} s.")
    params = {} if cursor is None else {"cursor": cursor}
    headers = {**headers_of(_METHOD, version=session.version), **session.headers}
    request = {"method": "POST", "url": server.url, "headers": headers}
    body = canonical_bytes(message(_METHOD, params, version=session.version))
    answer = send(
        outbound_request(request, body, server.terms, server.own_headers),
        egress=server.terms.egress,
        timeout_s=server.time_left(),
        max_body_bytes=MOST_BYTES,
        tls=server.terms.tls,
    )
    if answer.status == HTTPStatus.UNAUTHORIZED and server.terms.tokens is not None:
        server.terms.tokens.forget()
    if not 200 <= answer.status < 300:
        kind = UnreadableTools if answer.status in _OF_THE_CALLER else _NotUnderstoodError
        raise kind(f"The MCP server answered {answer.status}.")
    try:
        return result_in(answer)
    except UnusableMessage as unusable:
        raise _NotUnderstoodError(unusable.detail) from None


def _usable(sent: list[Any], secrets: list[str]) -> tuple[Tools, list[str]]:
    """Return the tools that can be offered, and what is wrong with the others. A name that occurs twice is left out."""
    found: Tools = {}
    problems: list[str] = []
    twice = set()
    for tool in sent:
        try:
            name, description = read_description(tool, secrets=secrets)
        except UnusableTool as error:
            problems.append(str(error))
            continue
        if name in found:
            twice.add(name)
        found[name] = description
    for name in sorted(twice):
        problems.append(f"{name} occurs twice")
        del found[name]
    return found, problems


def _said(problems: list[str]) -> str:
    """Return the sentence about tools that are left out, or ""."""
    if not problems:
        return ""
    more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return f"Left out: {'; '.join(problems[:_MOST_NAMED])}{more}."
