"""Parser of request bodies: bounded, strict JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, Final, Protocol, runtime_checkable

from rest_framework.parsers import BaseParser

from threada_site.api.bodies import UNDECLARED, body_limit, takes_document
from threada_site.kernel.errors import FieldError, InvalidRequest, PayloadTooLarge
from threada_site.kernel.json.strict import LARGE, MAX_MEMBERS, crowded, parse_json

MERGE_PATCH: Final = "application/merge-patch+json"


@runtime_checkable
class BodyReader(Protocol):
    """View that knows the payloads in its bodies, the largest body of its tenant, and a first check of large bodies."""

    def payloads_in(self, body: Any) -> Iterable[Any]: ...
    def largest_body(self, request: Any) -> int | None: ...
    def check_first(self, body: Any) -> None: ...


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
        view = (parser_context or {}).get("view")
        if len(raw) > LARGE and isinstance(view, BodyReader):
            _check_size(len(raw), view.largest_body(request))
        # No length declared and no data: no body. An empty chunked body may be an aborted one.
        is_absent = not raw and UNDECLARED in meta and "HTTP_TRANSFER_ENCODING" not in meta
        first = view.check_first if isinstance(view, BodyReader) else None
        body = {} if is_absent else parse_json(raw, first=first)
        if isinstance(body, dict | list) and raw.count(b":") > MAX_MEMBERS and not takes_document(meta):
            _check_members(body, view.payloads_in(body) if isinstance(view, BodyReader) else ())
        return body


def _check_size(size: int, most: int | None) -> None:
    """Raise `PayloadTooLarge` before a body is parsed that no workflow of the tenant would accept."""
    if most is not None and size > most:
        raise PayloadTooLarge(f"The body has {size} bytes; the workflows of this tenant accept {most} at most.")


def _check_members(body: Any, payloads: Iterable[Any]) -> None:
    """Raise `InvalidRequest` for an object with too many members. The workflow of a payload bounds its members."""
    place = crowded(body, besides=payloads)
    if place is not None:
        detail = f"has more than {MAX_MEMBERS} members"
        raise InvalidRequest("An object of the body is too large.", errors=[FieldError(place, detail, "too_large")])


class MergePatchParser(StrictJSONParser):
    """Parser of JSON Merge Patch (RFC 7396). The body is JSON; the view merges it."""

    media_type = MERGE_PATCH
