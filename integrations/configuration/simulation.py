"""Simulated calls: the connector `mock`, which the operator can disable (`THREADA_MOCK_CONNECTOR`)."""

from __future__ import annotations

from typing import Final

from django.conf import settings

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.documents.mock_actions import MOCK
from threada_site.kernel.errors import ConnectorDisabled, DocumentInvalid, FieldError

_DISABLED: Final = "The operator of the instance has disabled the connector mock (THREADA_MOCK_CONNECTOR)."


def is_simulated(connector: str) -> bool:
    """Return True if calls of the connector are simulated."""
    return connector == MOCK


def is_enabled(connector: str) -> bool:
    """Return True unless the operator has disabled the connector."""
    return settings.THREADA_MOCK_CONNECTOR or not is_simulated(connector)


def check_document(connector: str, *, pointer: str) -> None:
    """Raise `DocumentInvalid` if the connector of the document at `pointer` is disabled."""
    if not is_enabled(connector):
        raise DocumentInvalid(errors=[FieldError(f"{pointer}/connector", _DISABLED, ConnectorDisabled.reason_code)])


def check_requested(connector: str) -> None:
    """Raise `ConnectorDisabled` if an action of a disabled connector is requested."""
    if not is_enabled(connector):
        raise ConnectorDisabled(_DISABLED)


def check_before_call(connector: str) -> None:
    """Raise `TransportFailure` if the connector was disabled before the call of an execution."""
    if not is_enabled(connector):
        raise TransportFailure(FailureClass.CONNECTOR_DISABLED, _DISABLED)
