"""Chat messages with files, in one request, for the services in `WITH_FILES` of integrations.documents.chat_actions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from integrations.connectors.attached_files import form_body, media_type_of
from integrations.transport import OutboundRequest, StreamedBody

if TYPE_CHECKING:
    from integrations.connectors.protocol import CallTerms

MOST_BYTES_OF_TEXT: Final = {"ntfy": 2048}
"""Longest text of a message with files, if it is limited: that of ntfy is a part of the address."""


def with_files(
    request: OutboundRequest, files: Sequence[Mapping[str, Any]], terms: CallTerms, *, service: str
) -> OutboundRequest:
    """Return the request for a message with files, from the one without. Raises `TransportFailure`."""
    assert isinstance(request.body, bytes)  # noqa: S101  (Apprise wrote JSON)
    return _with_one_file(request, files[0], terms) if service == "ntfy" else _with_form(request, files, terms)


def _with_form(request: OutboundRequest, files: Sequence[Mapping[str, Any]], terms: CallTerms) -> OutboundRequest:
    """Return the form of Discord's webhooks: the JSON of the message, and its files."""
    parts: list[dict[str, Any]] = [{"name": "payload_json", "value": bytes(request.body).decode()}]  # type: ignore[arg-type]
    parts += [{"name": f"files[{place}]", "file": about} for place, about in enumerate(files)]
    body, media_type = form_body(parts, terms)
    return OutboundRequest(request.method, request.url, (*_headers(request), ("Content-Type", media_type)), body)


def _with_one_file(request: OutboundRequest, about: Mapping[str, Any], terms: CallTerms) -> OutboundRequest:
    """Return ntfy's PUT to the topic: the body is the file, the message is in the query."""
    message: dict[str, str] = json.loads(bytes(request.body))  # type: ignore[arg-type]
    url = f"{request.url.rstrip('/')}/{quote(message.pop('topic'), safe='')}"
    query = urlencode({"filename": about["name"], **message})
    file = terms.file(about)
    headers = (*_headers(request), ("Content-Type", media_type_of(about)))
    return OutboundRequest("PUT", f"{url}?{query}", headers, StreamedBody(file.size, file.blocks))


def _headers(request: OutboundRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers if name.lower() != "content-type"]
