"""Bodies that carry one payload of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from policies.selectors import largest_payload
from threada_site.api.operations import handler_name, operation_of

_WRITTEN: Final = 3
"""Longest way to write a byte of canonical JSON: `\\u00e9` in place of two bytes."""
_REST: Final = 64 * 1024
"""Bytes of a body besides its payload."""


class PayloadBody:
    """Mixin of views and viewsets. It concerns the operations whose body has the member `payload`."""

    request: Any

    def payloads_in(self, body: Any) -> Sequence[Any]:
        """Return the payload in a body."""
        return [body.get("payload")] if isinstance(body, dict) and self._takes_payload() else []

    def largest_body(self, request: Any) -> int | None:
        """Return the largest body in bytes that some workflow of the tenant accepts. One statement."""
        return _WRITTEN * largest_payload(ctx=request.auth) + _REST if self._takes_payload() else None

    def _takes_payload(self) -> bool:
        declared = operation_of(type(self), handler_name(self, self.request.method))
        return declared is not None and declared.body is not None and "payload" in declared.body.schema["properties"]
