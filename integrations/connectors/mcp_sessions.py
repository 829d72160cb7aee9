"""Sessions with MCP servers that speak only versions of the protocol before 2026-07-28.

Such a server wants a handshake before the first message: `initialize`, which settles the version and may name a
session, and `notifications/initialized`. Nothing is called by a handshake, so its failure is never ambiguous. A DELETE
ends the session. All requests go to the address of the server, by `integrations.transport`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.exchange import outbound_request
from integrations.connectors.mcp_messages import (
    CLIENT,
    HANDSHAKE_VERSIONS,
    UnusableMessage,
    headers_of,
    message,
    result_in,
)
from integrations.connectors.protocol import CallTerms
from integrations.connectors.response_outcomes import outcome_of_answer, without
from integrations.transport import OutboundAnswer, send
from threada_site.kernel.json.canonical import canonical_bytes

_HEADER: Final = "Mcp-Session-Id"
_SESSION_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_LARGEST_ANSWER: Final = 256 * 1024
_CLOSING_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Session:
    """Version that a server speaks, and the headers of every further message."""

    version: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class NoSessionError(Exception):
    """A server that opened no session. `outcome` is that of a call that was therefore not sent."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = replace(outcome, ambiguous=False, detail=f"No session was opened: {outcome.detail}")
        super().__init__(self.outcome.detail)


@dataclass(frozen=True, slots=True)
class Server:
    """Address of a server, with what every message to it needs.

    `own_headers` contains its credentials. `secrets` receives the id of the session, because who knows it can use the
    session. `ends_at` (`time.monotonic`) limits all messages together.
    """

    url: str
    terms: CallTerms
    own_headers: Mapping[str, str] = field(repr=False)
    secrets: list[str] = field(repr=False)
    ends_at: float

    def time_left(self) -> float:
        return max(self.ends_at - time.monotonic(), 0.001)

    def open_session(self, version: str = HANDSHAKE_VERSIONS[-1]) -> Session:
        """Offer a version and open a session. Raise `NoSessionError`."""
        try:
            return self._opened(version)
        except TransportFailure as failure:
            raise NoSessionError(Outcome.of_failure(failure)) from None
        except UnusableMessage as unusable:
            detail = without(unusable.detail, self.secrets)
            raise NoSessionError(Outcome(failure=FailureClass.BAD_RESPONSE, detail=detail)) from None

    def close_session(self, session: Session) -> None:
        """End a session, if time is left. Servers end others by themselves."""
        left = self.ends_at - time.monotonic()
        if not session.headers or left <= 0:
            return
        headers = {"MCP-Protocol-Version": session.version, **session.headers}
        try:
            self._send("DELETE", headers, b"", step="delete", timeout_s=min(left, _CLOSING_S))
        except TransportFailure:
            return

    def _opened(self, version: str) -> Session:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}
        accepted = {"Accept": headers_of("", version=version)["Accept"]}
        answer = self._post("initialize", accepted, message("initialize", params, version=version))
        spoken = result_in(answer).get("protocolVersion")
        if spoken not in HANDSHAKE_VERSIONS:
            raise UnusableMessage(f"The MCP server speaks the version {str(spoken)[:40]!r}, which is not known.")
        session = Session(spoken, self._session_header(answer))
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        self._post("initialized", {**headers_of("", version=spoken), **session.headers}, told)
        return session

    def _session_header(self, answer: OutboundAnswer) -> dict[str, str]:
        session_id = answer.header(_HEADER.lower())
        if session_id is None:
            return {}
        if not _SESSION_ID.fullmatch(session_id):
            raise UnusableMessage("The MCP server named a session that is not visible ASCII of at most 256 characters.")
        self.secrets.append(session_id)
        return {_HEADER: session_id}

    def _post(self, step: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> OutboundAnswer:
        answer = self._send("POST", headers, canonical_bytes(body), step=step, timeout_s=self.time_left())
        outcome = outcome_of_answer(answer, now=self.terms.now, secrets=self.secrets)
        if not 200 <= answer.status < 300:
            raise NoSessionError(outcome)
        return answer

    def _send(
        self, method: str, headers: Mapping[str, str], body: bytes, *, step: str, timeout_s: float
    ) -> OutboundAnswer:
        """Send one message of the handshake. Its idempotency key differs from that of the call."""
        key = self.terms.idempotency_key
        terms = replace(self.terms, idempotency_key=f"{key}-{step}" if key else "", callback_url=None)
        request = {"method": method, "url": self.url, "headers": headers}
        return send(
            outbound_request(request, body, terms, self.own_headers),
            egress=terms.egress,
            timeout_s=timeout_s,
            max_body_bytes=_LARGEST_ANSWER,
            network=terms.network,
            tls=terms.tls,
            kept_for=terms.kept_for,
        )
