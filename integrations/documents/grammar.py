"""Interface for parsing the documents of one connector. `http_actions` and its neighbours are examples."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

from integrations.documents.fields import Fields
from integrations.documents.model import Authentication
from integrations.secrets.references import SecretReference, parse_reference
from integrations.transport.urls import Target

OUTBOUND_SPEC: Final = frozenset({"connector", "idempotent", "timeout", "retry", "limits", "breaker", "actions"})
"""Spec members with the same meaning for every connector that makes calls."""
OUTBOUND_ACTION: Final = frozenset({"input_schema", "resolves", "undo", "timeout", "idempotent", "retry"})
"""Action members with the same meaning for every connector that makes calls."""
ANSWERED_LATER_SPEC: Final = frozenset({"callback_secrets"})
"""Additional spec members of connectors whose receivers can call back."""
ANSWERED_LATER_ACTION: Final = frozenset({"completes", "callback_within"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Address and credentials of an integration.

    `base_url` is None for connectors without a URL, `origin` for connectors that make no call. `secrets` are all
    references that calls read in addition to the one in `auth`. `settings` belongs to the connector.
    """

    base_url: str | None = None
    origin: Target | None = None
    auth: Authentication | None = None
    secrets: tuple[SecretReference, ...] = ()
    settings: Any = None


class Grammar(Protocol):
    """Parser of the documents of one connector. Problems are recorded through `Fields`, never raised."""

    @property
    def spec_fields(self) -> Collection[str]:
        """All members allowed in the spec."""
        ...

    def action_fields(self, slug: str) -> Collection[str] | None:
        """Return all members allowed in the action `slug`, or None if `read_call` itself refuses the name."""
        ...

    def read_spec(self, spec: Fields) -> Destination:
        """Return the destination described by the spec."""
        ...

    def read_call(self, slug: str, action: Fields, destination: Destination) -> object | None:
        """Return the value of `ActionDocument.call` for the connector's `build_request`, or None if it is invalid."""
        ...


def read_secret(place: Fields, name: str, *, required: bool = False) -> SecretReference | None:
    """Return the secret reference in a member."""
    if name not in place:
        if required and place.is_object:
            place.refuse("is required", name, code="required")
        return None
    try:
        return parse_reference(place.raw(name))
    except ValueError as error:
        place.refuse(str(error), name)
        return None


def read_secrets(place: Fields, name: str, *, most: int) -> tuple[SecretReference, ...]:
    """Return one reference, or a list of up to `most`."""
    written = place.raw(name)
    if not isinstance(written, list):
        only = read_secret(place, name, required=True)
        return () if only is None else (only,)
    if not 1 <= len(written) <= most:
        place.refuse(f"must be one secret, or a list of at most {most}", name)
        return ()
    found = []
    for position, value in enumerate(written):
        try:
            found.append(parse_reference(value))
        except ValueError as error:
            place.refuse(str(error), name, position)
    return tuple(found)
