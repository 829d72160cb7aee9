"""Interface for parsing the documents of one connector. `http_actions` and its neighbours are examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from integrations.documents.fields import Fields
from integrations.documents.model import Authentication
from integrations.secrets.references import SecretReference, parse_reference
from integrations.transport.urls import Target
from threada_site.kernel.documents.structure import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Address and credentials of an integration.

    `base_url` is None for connectors without a URL, `origin` for connectors that make no call. `sent_to` is the address
    that secrets are sent to, if it is not `base_url`. `secrets` are all references that calls read in addition to the
    one in `auth`. `settings` belongs to the connector.
    """

    base_url: str | None = None
    origin: Target | None = None
    sent_to: str | None = None
    auth: Authentication | None = None
    secrets: tuple[SecretReference, ...] = ()
    settings: Any = None


class Grammar(Protocol):
    """Parser of the documents of one connector.

    The structure is checked by `schema` first. The methods check what a schema cannot say, and add errors through
    `Fields.refuse`. They are called for documents with errors too, whose wrong members count as absent; what they
    return is used only if there are no errors.
    """

    @property
    def schema(self) -> Schema:
        """JSON Schema of the spec, as `integration_schema` returns it."""
        ...

    def read_spec(self, spec: Fields) -> Destination:
        """Return the destination described by the spec."""
        ...

    def read_call(self, slug: str, action: Fields, destination: Destination) -> object:
        """Return the value of `ActionDocument.call` for the connector's `build_request`."""
        ...


def read_secrets(place: Fields, name: str) -> tuple[SecretReference, ...]:
    """Return the secret references of a member: one, a list, or none if it is absent."""
    written = place.value(name, [])
    found: list[SecretReference] = []
    for position, value in enumerate(written if isinstance(written, list) else [written]):
        try:
            found.append(parse_reference(value))
        except ValueError as error:
            place.refuse(str(error), name, *([position] if isinstance(written, list) else []))
    return tuple(found)
