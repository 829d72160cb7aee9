"""Connectors: they build requests from the actions of each kind of external system, and turn responses into
outcomes.

Imports no Django.
"""

from integrations.connectors.chat import ChatConnector
from integrations.connectors.http import HttpConnector
from integrations.connectors.mail import MailConnector
from integrations.connectors.mock import MockConnector
from integrations.connectors.protocol import CallTerms, Connector, OutboundConnector
from integrations.connectors.registry import connector_named, register, register_packages
from integrations.connectors.webhook import WebhookConnector

__all__ = [
    "CallTerms",
    "ChatConnector",
    "Connector",
    "HttpConnector",
    "MailConnector",
    "MockConnector",
    "OutboundConnector",
    "WebhookConnector",
    "connector_named",
    "register",
    "register_packages",
]
