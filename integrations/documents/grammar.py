"""What a connector brings along to have its documents read. `http_actions` and its neighbours are examples."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

from integrations.documents.fields import Fields
from integrations.documents.model import Authentication
from integrations.secrets import SecretReference, parse_reference
from integrations.transport.urls import Target

OUTBOUND_SPEC: Final = frozenset({"connector", "idempotent", "timeout", "retry", "limits", "breaker", "actions"})
"""Members of a spec that mean the same for every connector that calls somebody."""
OUTBOUND_ACTION: Final = frozenset({"input_schema", "resolves", "undo", "timeout", "idempotent", "retry"})
"""The same of an action."""
ANSWERED_LATER_SPEC: Final = frozenset({"callback_secrets"})
"""What a connector's specs may have besides, when its receivers are told where to call back."""
ANSWERED_LATER_ACTION: Final = frozenset({"completes", "callback_within"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an integration leads, and what it needs to get there.

    `base_url` is None where nobody is called by URL, `origin` where nobody is called at all. `secrets` are all
    references that calls read beside the one in `auth`. `settings` is the connector's own.
    """

    base_url: str | None = None
    origin: Target | None = None
    auth: Authentication | None = None
    secrets: tuple[SecretReference, ...] = ()
    settings: Any = None


class Grammar(Protocol):
    """How the documents of one connector are read. Problems are written down through `Fields`, never raised."""

    @property
    def spec_fields(self) -> Collection[str]:
        """Every member that the spec may have."""
        ...

    def action_fields(self, slug: str) -> Collection[str] | None:
        """Every member that the action of that name may have; None: `read_call` refuses the name itself."""
        ...

    def read_spec(self, spec: Fields) -> Destination:
        """What the spec says of where it leads."""
        ...

    def read_call(self, slug: str, action: Fields, destination: Destination) -> object | None:
        """What the connector's `build_request` will find in `ActionDocument.call`; None when it cannot be read."""
        ...


def read_secret(place: Fields, name: str, *, required: bool = False) -> SecretReference | None:
    """The reference in a member."""
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
    """One reference or a list of up to `most`."""
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
