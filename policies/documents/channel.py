"""Parser of `kind: Channel` documents, the sources of requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid

MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class ChannelDocument:
    """A parsed channel document. `id` is None for a bare spec."""

    id: str | None
    name: str = ""


def parse_channel(value: Any) -> ChannelDocument:
    """Parse a whole document (`kind`, `id`, optional `spec`) or a bare spec (`name`).

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A channel is an object. Write {kind: Channel, id: web_main}.")
    errors = FieldErrors()
    whole = {"spec": {}, **value} if "kind" in value else value
    identifier, spec, base = read_header(whole, "Channel", errors)
    errors.known_fields(spec, ("name",), base)
    name = spec.get("name", "")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        errors.add(f"{base}/name", f"name is text of at most {MAX_NAME} characters.")
        name = ""
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return ChannelDocument(identifier, name)
