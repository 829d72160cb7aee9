"""Which connectors there are."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from integrations.connectors.chat import ChatConnector
from integrations.connectors.http import HttpConnector
from integrations.connectors.mail import MailConnector
from integrations.connectors.protocol import Connector, OutboundConnector
from integrations.connectors.webhook import WebhookConnector
from integrations.documents import register_grammar

GROUP: Final = "threada.connectors"
_connectors: Final[dict[str, Connector]] = {
    connector.name: connector for connector in (ChatConnector(), HttpConnector(), MailConnector(), WebhookConnector())
}


class UnusableConnector(Exception):
    """A package brings a connector that cannot be used; the message names both."""


def register(connector: Connector) -> None:
    """Make a connector known by its name. Raises `ValueError` when another class has taken it."""
    taken = _connectors.setdefault(connector.name, connector)
    if type(taken) is not type(connector):
        raise ValueError(f"The connector {connector.name!r} is registered already, as {type(taken).__name__}.")


def register_packages() -> None:
    """Make the connectors known that installed packages bring along (entry-point group `threada.connectors`).

    Raises `UnusableConnector` naming the first that cannot be used: with one missing, approved actions could not run.
    """
    for entry in entry_points(group=GROUP):
        try:
            connector: Any = entry.load()()
            if not isinstance(connector, OutboundConnector):
                raise TypeError("it lacks name, build_request or call")
            register_grammar(connector.name, connector.grammar)  # type: ignore[attr-defined]
            register(connector)
        except Exception as error:
            raise UnusableConnector(f"{_named(entry)} cannot be used: {error}") from error


def connector_names() -> list[str]:
    """The connectors there are."""
    return sorted(_connectors)


def _named(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "?"
    return f"The connector {entry.name} of the package {package}"


def connector_named(name: str) -> Connector:
    """The connector of that name. Raises `LookupError`."""
    if name not in _connectors:
        raise LookupError(f"There is no connector {name!r}. Registered: {', '.join(sorted(_connectors))}.")
    return _connectors[name]
