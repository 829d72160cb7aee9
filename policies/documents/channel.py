"""Parser of `kind: Channel` documents, the sources of requests. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import closed_object, text

MAX_NAME: Final = 200
CHANNEL_SCHEMA: Final = KindSchema(
    "Channel",
    closed_object(
        {"name": text(MAX_NAME, default="", description="Label of the channel.", examples=["Web form"])},
        description="A source of requests.",
        errorMessage="A channel is an object. Write {kind: Channel, id: web_main}.",
    ),
    is_spec_required=False,
)


@dataclass(frozen=True, slots=True)
class ChannelDocument:
    """A parsed channel document. `id` is None for a bare spec."""

    id: str | None
    name: str = ""


def parse_channel(value: Any) -> ChannelDocument:
    """Parse a whole document (`kind`, `id`, optional `spec`) or a bare spec (`name`).

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    identifier, spec, _, errors = CHANNEL_SCHEMA.parse(value)
    errors.raise_any(value=value)
    return ChannelDocument(identifier, spec.get("name", ""))
