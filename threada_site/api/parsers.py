"""Parser of request bodies: bounded, strict JSON."""

from __future__ import annotations

from typing import IO, Any, Final

from rest_framework.parsers import BaseParser

from threada_site.api.bodies import UNDECLARED, body_limit
from threada_site.kernel.errors import PayloadTooLarge
from threada_site.kernel.json.strict import parse_json

MERGE_PATCH: Final = "application/merge-patch+json"


class StrictJSONParser(BaseParser):
    """Strict JSON parser that reads at most `body_limit` bytes from the connection."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        request = (parser_context or {}).get("request")
        meta = request.META if request is not None else {}
        limit = body_limit(meta)
        declared = "" if UNDECLARED in meta else meta.get("CONTENT_LENGTH", "")
        if declared.isdigit() and int(declared) > limit:
            raise PayloadTooLarge(f"The body has {declared} bytes; {limit} are allowed.")
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise PayloadTooLarge(f"The body has more than the {limit} bytes allowed.")
        # No length declared and no data: no body. An empty chunked body may be an aborted one.
        is_absent = not raw and UNDECLARED in meta and "HTTP_TRANSFER_ENCODING" not in meta
        return {} if is_absent else parse_json(raw)


class MergePatchParser(StrictJSONParser):
    """Parser of JSON Merge Patch (RFC 7396). The body is JSON; the view merges it."""

    media_type = MERGE_PATCH
