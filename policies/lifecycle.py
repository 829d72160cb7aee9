"""The lifecycle of a policy version. A published version never changes; a newer one does not retire it."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle


class PolicyVersionStatus(StrEnum):
    """Where a policy version stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


_V = PolicyVersionStatus

POLICY_VERSION: Final = Lifecycle(
    noun="a policy version",
    transitions=MappingProxyType(
        {
            _V.DRAFT: frozenset({_V.PUBLISHED}),
            _V.PUBLISHED: frozenset({_V.RETIRED}),
            _V.RETIRED: frozenset(),
        }
    ),
    ends=frozenset({_V.RETIRED}),
)
