"""PUT and PATCH of documents: PUT takes what GET returns, PATCH merges into it (RFC 7396)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from threada_site.api.conditional_requests.tags import check_creation, check_if_match, check_replacement
from threada_site.api.resources.resource import Resource
from threada_site.api.shapes import Shape, shape
from threada_site.kernel.errors import FieldError, InvalidRequest
from threada_site.kernel.json.merge_patch import merge_patch

_READ_ONLY = {"readOnly": True, "description": "Read-only: leave it out, or send it as it was read."}


@dataclass(frozen=True, kw_only=True)
class Replaceable:
    """Members of a resource that PUT replaces and PATCH changes, with their schemas; all others are read-only.

    `identifier` is the member that the address names. `patched` has the schemas of members whose parts PATCH changes.
    """

    resource: Resource
    identifier: str
    writable: Mapping[str, Any]
    required: tuple[str, ...] = ()
    patched: Mapping[str, Any]
    example: Mapping[str, Any]
    patch_example: Mapping[str, Any]

    @cached_property
    def body(self) -> Shape:
        """Return the shape of a PUT."""
        return shape(self._members(self.writable), required=self.required, example=dict(self.example))

    @cached_property
    def patch(self) -> Shape:
        """Return the shape of a PATCH."""
        return shape(self._members({**self.writable, **self.patched}), example=dict(self.patch_example))

    def created(self, request: Any, name: str) -> dict[str, Any]:
        """Return the writable members of a PUT on an address without a resource.

        Raise `NotFound` or `PreconditionFailed` if it does not say `If-None-Match: *`.
        """
        body = self.body.check(request.data)
        check_creation(request)
        return self._writable(body, {self.identifier: name})

    def replaced(self, request: Any, current: Mapping[str, Any], *, tag: str) -> dict[str, Any]:
        """Return the writable members of a PUT, or those of a resource after a PATCH.

        `current` is the representation of the resource, `tag` the entity tag of its state.
        """
        if request.method == "PATCH":
            patch = self.patch.check(request.data)
            check_if_match(request, tag)
            return self._writable(self.body.check(merge_patch(current, patch)), current)
        body = self.body.check(request.data)
        check_replacement(request, tag)
        return self._writable(body, current)

    def _members(self, writable: Mapping[str, Any]) -> dict[str, Any]:
        names = [entry.name for entry in self.resource.fields]
        return {**{name: _READ_ONLY for name in names if name not in writable}, **writable}

    def _writable(self, body: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the writable members of a body. Raise `InvalidRequest` if it changes others."""
        changed = [
            FieldError(f"/{name}", "is read-only; leave it out, or send it as it was read", "read_only")
            for name, value in body.items()
            if name not in self.writable and not (name in known and known[name] == value)
        ]
        if changed:
            raise InvalidRequest("The body changes what is read-only.", errors=changed)
        return {name: body[name] for name in self.writable if name in body}
