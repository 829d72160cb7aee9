"""Request that would be sent to the other system, in reading order."""

from __future__ import annotations

from typing import Any, Final

_FIRST: Final = ("method", "url", "body")


def what_is_sent(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """Return the request of the envelope with its action first; None if nothing would be sent."""
    request = envelope.get("request")
    if request is None:
        return None
    ordered = {name: request[name] for name in _FIRST if name in request}
    return {
        "action": envelope["action"]["id"],
        "integration": envelope["integration"]["id"],
        **ordered,
        **request,
    }
