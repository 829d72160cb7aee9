"""Which connectors there are."""

from __future__ import annotations

from typing import Final

from integrations.connectors.chat import ChatConnector
from integrations.connectors.http import HttpConnector
from integrations.connectors.mail import MailConnector
from integrations.connectors.protocol import Connector
from integrations.connectors.webhook import WebhookConnector

_connectors: Final[dict[str, Connector]] = {
    connector.name: connector for connector in (ChatConnector(), HttpConnector(), MailConnector(), WebhookConnector())
}


def register(connector: Connector) -> None:
    """Make a connector known by its name. Raises `ValueError` when another class has taken it."""
    taken = _connectors.setdefault(connector.name, connector)
    if type(taken) is not type(connector):
        raise ValueError(f"The connector {connector.name!r} is registered already, as {type(taken).__name__}.")


def connector_named(name: str) -> Connector:
    """The connector of that name. Raises `LookupError`."""
    if name not in _connectors:
        raise LookupError(f"There is no connector {name!r}. Registered: {', '.join(sorted(_connectors))}.")
    return _connectors[name]
