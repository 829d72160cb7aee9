"""Request that would be sent to the other system, in reading order; a simulated one says so first."""

from __future__ import annotations

from typing import Any, Final

from integrations.configuration.simulation import is_simulated

_FIRST: Final = ("method", "url", "body")


def what_is_sent(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """Return the request of the envelope with its action first; None if nothing would be sent."""
    request = envelope.get("request")
    if request is None:
        return None
    simulated = {"simulated": True} if is_simulated_request(envelope) else {}
    ordered = {name: request[name] for name in _FIRST if name in request}
    return {
        **simulated,
        "action": envelope["action"]["id"],
        "integration": envelope["integration"]["id"],
        **ordered,
        **request,
    }


def is_simulated_request(envelope: dict[str, Any]) -> bool:
    """Return True if the integration version in the envelope simulates the call."""
    integration = envelope.get("integration")
    return isinstance(integration, dict) and is_simulated(integration["connector"])
