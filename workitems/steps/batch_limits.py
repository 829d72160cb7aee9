"""Rules for which steps may be decided in one batch, and how many. Pure.

Steps belong to the same batch if the same policy rules required them, under the same approval rule, for the same action
of the same workflow. The higher the risk of a step, the smaller the batch may be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from threada_site.kernel.json.canonical import canonical_sha256

MOST_IN_A_BATCH: Final = 200
"""Upper bound of every cap in the settings, because a batch is one transaction."""


class RiskLevel(StrEnum):
    """Risk level of a step, in ascending order."""

    LOW = "low"
    ELEVATED = "elevated"
    HIGH = "high"


_ORDER: Final = tuple(RiskLevel)


def batch_key(
    *,
    kind: str,
    workflow: str,
    integration: str,
    action: str,
    question: str,
    rule: Mapping[str, Any],
    matched: Sequence[Mapping[str, Any]],
) -> str:
    """Return a digest that is equal for steps that may be decided together.

    `rule` is the approval rule as steps store it; `matched` contains the matched policy rules as a decision lists them.
    """
    asked = sorted({f"{match['policy']}/{match['rule']}" for match in matched})
    named = {"kind": kind, "workflow": workflow, "integration": integration, "action": action, "question": question}
    return canonical_sha256({**named, "rule": dict(rule), "asked": asked})


def risk_level(risk_flags: Collection[str], data_class: str, *, sensitive: Collection[str]) -> RiskLevel:
    """Return `high` with any risk flag, `elevated` for a sensitive data class, else `low`."""
    if risk_flags:
        return RiskLevel.HIGH
    return RiskLevel.ELEVATED if data_class in sensitive else RiskLevel.LOW


def riskiest(levels: Iterable[RiskLevel]) -> RiskLevel:
    """Return the highest of `levels`, which is the level of the batch."""
    return max(levels, key=_ORDER.index, default=RiskLevel.LOW)
