"""Resolution of a name to checked addresses."""

from __future__ import annotations

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.transport.egress import EgressPolicy
from integrations.transport.network import Deadline, Network
from integrations.transport.urls import Target


def checked_addresses(target: Target, egress: EgressPolicy, network: Network, deadline: Deadline) -> list[str]:
    """Return all current addresses of the target's host. Raises `TransportFailure` unless all may be called."""
    try:
        addresses = network.resolve(target.host, target.port, deadline)
    except TimeoutError as error:
        detail = f"The name {target.host} was not resolved in time."
        raise TransportFailure(FailureClass.TIMEOUT, detail) from error
    except OSError as error:
        detail = f"The name {target.host} does not resolve: {error}"
        raise TransportFailure(FailureClass.CONNECTION_REFUSED, detail) from error
    return [str(egress.check_address(address)) for address in addresses]
