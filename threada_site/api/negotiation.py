"""Content negotiation and its one representation, JSON; requests that do not accept it are refused."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer

from threada_site.kernel.errors import NotAcceptable

_JSON = ("application/json", "application/problem+json", "application/x-ndjson", "application/*", "*/*")


class JSONNegotiation(BaseContentNegotiation):
    def select_parser(self, request: Any, parsers: Any) -> Any:
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        if not any(part.partition(";")[0].strip().lower() in _JSON for part in accept.split(",")):
            raise NotAcceptable(f"This API answers application/json, not {accept[:100]!r}.")
        return renderers[0], renderers[0].media_type


class AnyNegotiation(JSONNegotiation):
    """Negotiation for probes and scrapers, which ignores `Accept`."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class JSONRenderer(BaseRenderer):
    """JSON renderer with orjson. Representations contain plain JSON types only."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data)
