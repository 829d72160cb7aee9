"""Connectors: how the actions of each kind of external system become requests, and requests become outcomes."""

from integrations.connectors.http import HttpConnector
from integrations.connectors.protocol import CallTerms, Connector, OutboundConnector
from integrations.connectors.registry import connector_named, register

__all__ = ["CallTerms", "Connector", "HttpConnector", "OutboundConnector", "connector_named", "register"]
