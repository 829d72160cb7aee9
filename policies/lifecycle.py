"""Lifecycles of policy versions, replays and shadows.

A published version never changes, and publishing a newer version does not retire it. A stopped replay resumes at the
same position. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle


class PolicyVersionStatus(StrEnum):
    """Status of a policy version."""

    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


class EmergencyStatus(StrEnum):
    """Status of an emergency publication.

    Announced: the stewards are notified, and the version is not in force yet. Open: in force on the authority of one
    person. Withdrawn: it never came into force.
    """

    ANNOUNCED = "announced"
    OPEN = "open"
    CONFIRMED = "confirmed"
    REPLACED = "replaced"
    RETIRED = "retired"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"


class ReplayStatus(StrEnum):
    """Status of a replay."""

    REQUESTED = "requested"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShadowStatus(StrEnum):
    """Status of a shadow."""

    ACTIVE = "active"
    ENDED = "ended"


_V, _R, _S = PolicyVersionStatus, ReplayStatus, ShadowStatus

POLICY_VERSION: Final = Lifecycle(
    noun="a policy version",
    transitions=MappingProxyType(
        {
            _V.DRAFT: frozenset({_V.PUBLISHED, _V.RETIRED}),
            _V.PUBLISHED: frozenset({_V.RETIRED}),
            _V.RETIRED: frozenset(),
        }
    ),
    ends=frozenset({_V.RETIRED}),
)

REPLAY: Final = Lifecycle(
    noun="a replay",
    transitions=MappingProxyType(
        {
            _R.REQUESTED: frozenset({_R.RUNNING, _R.CANCELLED}),
            # To `requested`: the worker shuts down. To `running`: another worker takes over after a crash.
            _R.RUNNING: frozenset({_R.FINISHED, _R.FAILED, _R.CANCELLED, _R.REQUESTED, _R.RUNNING}),
            _R.FAILED: frozenset({_R.REQUESTED}),
            _R.CANCELLED: frozenset({_R.REQUESTED}),
            _R.FINISHED: frozenset(),
        }
    ),
    ends=frozenset({_R.FINISHED, _R.FAILED, _R.CANCELLED}),
)

SHADOW: Final = Lifecycle(
    noun="a shadow",
    transitions=MappingProxyType({_S.ACTIVE: frozenset({_S.ENDED}), _S.ENDED: frozenset()}),
    ends=frozenset({_S.ENDED}),
)
