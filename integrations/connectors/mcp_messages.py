"""Messages of the Model Context Protocol over HTTP: one request, one answer. Versions differ in headers and `_meta`.

An answer is JSON, or a stream of events that ends with the response. Both are read as a whole, within the limits of
`integrations.transport`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from integrations.transport import OutboundAnswer
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.strict import parse_json

PROTOCOL_VERSION: Final = "2026-07-28"
HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions that begin with a handshake, see `mcp_sessions`."""
CLIENT: Final = {"name": "threada", "version": "1"}
_MESSAGE_ID: Final = 1
_REFUSED: Final = frozenset({-32700, -32600, -32601, -32602})
"""Codes of errors with which a server says that it has done nothing."""


class UnusableMessage(Exception):
    """An answer without a result. `is_refusal`: the server says that it has done nothing."""

    def __init__(self, detail: str, *, is_refusal: bool = False) -> None:
        self.detail = detail
        self.is_refusal = is_refusal
        super().__init__(detail)


def message(method: str, params: Mapping[str, Any], *, version: str = PROTOCOL_VERSION) -> dict[str, Any]:
    """Return the JSON-RPC request of a method. It declares no capabilities, so the server asks for nothing back."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    sent = dict(params) if version in HANDSHAKE_VERSIONS else {**params, "_meta": meta}
    return {"jsonrpc": "2.0", "id": _MESSAGE_ID, "method": method, "params": sent}


def headers_of(method: str, *, name: str = "", version: str = PROTOCOL_VERSION) -> dict[str, str]:
    """Return the headers of a message. `name`: the tool that it calls."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version}
    if version in HANDSHAKE_VERSIONS:
        return headers
    named = {"Mcp-Name": name} if name else {}
    return {**headers, "Mcp-Method": method, **named}


def result_in(answer: OutboundAnswer) -> dict[str, Any]:
    """Return the result in an answer. Raise `UnusableMessage`."""
    for found in _messages(answer):
        if not isinstance(found, dict) or found.get("id") != _MESSAGE_ID or "method" in found:
            continue
        error = found.get("error")
        if isinstance(error, dict):
            code, said = error.get("code"), error.get("message")
            detail = f"The MCP server answered with the error {code!r}: {str(said)[:300]}"
            raise UnusableMessage(detail, is_refusal=isinstance(code, int) and code in _REFUSED)
        result = found.get("result")
        if isinstance(result, dict):
            return result
    raise UnusableMessage("The MCP server gave no result.")


def _messages(answer: OutboundAnswer) -> Iterator[Any]:
    media_type = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    texts = _event_data(answer.body) if media_type == "text/event-stream" else [answer.body]
    for text in texts:
        try:
            yield parse_json(text)
        except ThreadaError as error:
            raise UnusableMessage(f"The MCP server sent a message that is not usable JSON: {error.detail}") from None


def _event_data(body: bytes) -> Iterator[bytes]:
    """Return the data of the events in a body (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    data: list[bytes] = []
    for line in (*body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), b""):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line:
            if any(data):  # an event without data only names the position in the stream
                yield b"\n".join(data)
            data = []
