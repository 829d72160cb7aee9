"""Lifecycles of an export and of a delivery. Only the services of this app change a status. Pure."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle


class ExportStatus(StrEnum):
    """Status of an export."""

    REQUESTED = "requested"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class DeliveryStatus(StrEnum):
    """Status of a continuous delivery. A `removed` row stays, because receipts refer to it; its slug can be used
    again."""

    ACTIVE = "active"
    PAUSED = "paused"
    REMOVED = "removed"


_E, _D = ExportStatus, DeliveryStatus

EXPORT: Final = Lifecycle(
    noun="an export",
    transitions=MappingProxyType(
        {
            # The request itself writes a small export, which is then ready immediately.
            _E.REQUESTED: frozenset({_E.RUNNING, _E.READY, _E.CANCELLED}),
            # To `requested`: the worker is stopping. To `running`: another worker takes over from a lost one.
            _E.RUNNING: frozenset({_E.READY, _E.FAILED, _E.CANCELLED, _E.REQUESTED, _E.RUNNING}),
            _E.READY: frozenset({_E.EXPIRED, _E.CANCELLED}),
            _E.FAILED: frozenset({_E.REQUESTED, _E.CANCELLED}),
            _E.EXPIRED: frozenset(),
            _E.CANCELLED: frozenset(),
        }
    ),
    ends=frozenset({_E.EXPIRED, _E.CANCELLED, _E.FAILED}),
)

DELIVERY: Final = Lifecycle(
    noun="a delivery",
    transitions=MappingProxyType(
        {
            _D.ACTIVE: frozenset({_D.PAUSED, _D.REMOVED}),
            _D.PAUSED: frozenset({_D.ACTIVE, _D.REMOVED}),
            _D.REMOVED: frozenset(),
        }
    ),
    ends=frozenset({_D.REMOVED}),
)
