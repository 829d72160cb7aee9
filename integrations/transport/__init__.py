"""The outbound transport. All requests to receivers are sent through `send`. Imports no Django."""

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.transport.client import (
    OutboundAnswer,
    OutboundRequest,
    StreamedBody,
    reach,
    send,
    verifying_context,
)
from integrations.transport.client_certificates import presenting_context
from integrations.transport.egress import EgressPolicy
from integrations.transport.network import Deadline, Network, SystemNetwork
from integrations.transport.urls import Target, UnusableUrl, read_url
from threada_site.kernel.templates import is_header_value

__all__ = [
    "Deadline",
    "EgressPolicy",
    "FailureClass",
    "Network",
    "OutboundAnswer",
    "OutboundRequest",
    "StreamedBody",
    "SystemNetwork",
    "Target",
    "TransportFailure",
    "UnusableUrl",
    "is_header_value",
    "presenting_context",
    "reach",
    "read_url",
    "send",
    "verifying_context",
]
