"""`tools/list` of an MCP server: all pages, within limits of time, size and number."""

from __future__ import annotations

import time
from typing import Any, Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.connectors.exchange import outbound_request
from integrations.connectors.http import authorization
from integrations.connectors.mcp_messages import UnusableMessage, headers_of, message, result_in
from integrations.connectors.protocol import CallTerms
from integrations.connectors.response_outcomes import without
from integrations.documents import IntegrationDocument
from integrations.secrets.access import SecretAccess
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

type Tools = dict[str, dict[str, Any]]


class UnreadableTools(Exception):
    """No list of tools was read. The message says why, without secrets."""


def fetch_tools(document: IntegrationDocument, access: SecretAccess) -> tuple[Tools, str]:
    """Return the descriptions by name, and what is wrong with others that are left out. Raise `UnreadableTools`."""
    secrets: list[str] = []
    try:
        sent = _all_pages(document, access, secrets)
        found, problems = _usable(sent, secrets)
        if len(canonical_bytes(found)) > MOST_TOGETHER:
            raise UnreadableTools(f"The MCP server sent descriptions of more than {MOST_TOGETHER} bytes together.")
        return found, without(_said(problems), secrets)
    except TransportFailure as failure:
        raise UnreadableTools(without(f"{failure.failure}: {failure.detail}", secrets)) from None
    except UnusableMessage as unusable:
        raise UnreadableTools(without(unusable.detail, secrets)) from None


def _all_pages(document: IntegrationDocument, access: SecretAccess, secrets: list[str]) -> list[Any]:
    """Return the tools of all pages as they were sent."""
    ends_at = time.monotonic() + TIMEOUT_S
    sent: list[Any] = []
    cursor: str | None = None
    for _page in range(MOST_PAGES):
        result = _page_of(document, access, secrets, cursor=cursor, timeout_s=ends_at - time.monotonic())
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


def _page_of(
    document: IntegrationDocument,
    access: SecretAccess,
    secrets: list[str],
    *,
    cursor: str | None,
    timeout_s: float,
) -> dict[str, Any]:
    """Return one page. Raise `TransportFailure`, `UnusableMessage` or `UnreadableTools`."""
    if timeout_s <= 0:
        raise UnreadableTools(f"The MCP server did not send all tools within {TIMEOUT_S:g} s.")
    terms = CallTerms(
        idempotency_key="",
        timeout_s=timeout_s,
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        user_agent=f"Threada/{settings.THREADA_VERSION}",
        secrets=access,
    )
    request = {
        "method": "POST",
        "url": document.base_url,
        "headers": headers_of(_METHOD),
        "auth": None if document.auth is None else document.auth.as_json(),
    }
    known = set(secrets)
    own = {} if request["auth"] is None else {"Authorization": authorization(request, terms, secrets)}
    secrets[:] = [*known, *(secret for secret in secrets if secret not in known)]
    body = canonical_bytes(message(_METHOD, {} if cursor is None else {"cursor": cursor}))
    answer = send(
        outbound_request(request, body, terms, own),
        egress=terms.egress,
        timeout_s=timeout_s,
        max_body_bytes=MOST_BYTES,
    )
    if not 200 <= answer.status < 300:
        raise UnreadableTools(f"The MCP server answered {answer.status}.")
    return result_in(answer)


def _said(problems: list[str]) -> str:
    """Return the sentence about tools that are left out, or ""."""
    if not problems:
        return ""
    more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return f"Left out: {'; '.join(problems[:_MOST_NAMED])}{more}."
