"""Registry of connectors."""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from integrations.connectors.chat import ChatConnector
from integrations.connectors.http import HttpConnector
from integrations.connectors.mail import MailConnector
from integrations.connectors.mcp import McpConnector
from integrations.connectors.mock import MockConnector
from integrations.connectors.protocol import Connector, OutboundConnector
from integrations.connectors.webhook import WebhookConnector
from integrations.documents import register_grammar
from integrations.late_connectors import PATHS

GROUP: Final = "threada.connectors"
_connectors: Final[dict[str, Connector]] = {
    connector.name: connector
    for connector in (
        ChatConnector(),
        HttpConnector(),
        MailConnector(),
        McpConnector(),
        MockConnector(),
        WebhookConnector(),
    )
}
_loading: Final = threading.Lock()


class UnusableConnector(Exception):
    """A package provides an unusable connector. The message names both."""


def register(connector: Connector) -> None:
    """Register a connector by its name. Raises `ValueError` if another class has the name."""
    taken = _connectors.setdefault(connector.name, connector)
    if type(taken) is not type(connector):
        raise ValueError(f"The connector {connector.name!r} is registered already, as {type(taken).__name__}.")


def register_packages() -> None:
    """Register the connectors of installed packages (entry-point group `threada.connectors`).

    Raises `UnusableConnector` for the first unusable one: without it, approved actions could not run.
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


def _named(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "?"
    return f"The connector {entry.name} of the package {package}"


def connector_named(name: str) -> Connector:
    """Return the connector with that name. Raises `LookupError`."""
    _register_late()
    if name not in _connectors:
        raise LookupError(f"There is no connector {name!r}. Registered: {', '.join(sorted(_connectors))}.")
    return _connectors[name]


def _register_late() -> None:
    """Register the connectors of `late_connectors`, once."""
    if not PATHS:
        return
    with _loading:
        while PATHS:
            module, _, name = PATHS[0].rpartition(".")
            register(getattr(import_module(module), name)())
            del PATHS[0]
