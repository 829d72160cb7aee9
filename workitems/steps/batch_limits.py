"""Which steps may be decided together, and how many at once. Pure.

Steps belong together when the same policy rules asked for them, under the same approval rule, about the same action of
the same kind of work. The riskier one of them is, the fewer may be decided in one batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from threada_site.kernel.json.canonical import canonical_sha256

MOST_IN_A_BATCH: Final = 200
"""No setting raises a cap beyond this: all of a batch is one transaction."""


class RiskLevel(StrEnum):
    """How careful a batch has to be, the least first."""

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
    """A digest that two steps share when they may be decided together.

    `rule` is the approval rule as steps store it, `matched` the policy rules that asked, as a decision lists them.
    """
    asked = sorted({f"{match['policy']}/{match['rule']}" for match in matched})
    named = {"kind": kind, "workflow": workflow, "integration": integration, "action": action, "question": question}
    return canonical_sha256({**named, "rule": dict(rule), "asked": asked})


def risk_level(risk_flags: Collection[str], data_class: str, *, sensitive: Collection[str]) -> RiskLevel:
    """`high` with any risk flag, `elevated` for a data class that counts as sensitive, else `low`."""
    if risk_flags:
        return RiskLevel.HIGH
    return RiskLevel.ELEVATED if data_class in sensitive else RiskLevel.LOW


def riskiest(levels: Iterable[RiskLevel]) -> RiskLevel:
    """The level that a batch of such steps has."""
    return max(levels, key=_ORDER.index, default=RiskLevel.LOW)
