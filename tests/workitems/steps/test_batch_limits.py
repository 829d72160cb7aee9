"""Limits of batches of decisions. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from workitems.steps.batch_limits import RiskLevel, batch_key, risk_level, riskiest

STEP: dict[str, Any] = {
    "kind": "approval", "workflow": "payments", "integration": "bank", "action": "pay", "question": "",
    "rule": {"role": "finance", "count": 2}, "matched": [{"policy": "p", "rule": "large", "reason": "LARGE"}],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "review"}, {"workflow": "refunds"}, {"integration": "desk"}, {"action": "refund"}, {"question": "Well?"},
        {"rule": {"role": "finance", "count": 3}}, {"matched": [{"policy": "p", "rule": "other"}]}, {"matched": []},
    ],
)  # fmt: skip
def test_another_rule_or_action_is_another_batch(change: dict[str, Any]) -> None:
    assert batch_key(**{**STEP, **change}) != batch_key(**STEP)


def test_versions_and_order_of_rules_make_no_difference() -> None:
    first, second = {"policy": "p", "rule": "a", "version_id": "pv_1"}, {"policy": "q", "rule": "b"}
    assert batch_key(**{**STEP, "matched": [first, second]}) == batch_key(
        **{**STEP, "matched": [second, {**first, "version_id": "pv_2"}]}
    )


@pytest.mark.parametrize(
    ("flags", "data_class", "level"),
    [([], "internal", "low"), ([], "secret", "elevated"), (["pii"], "internal", "high"), (["pii"], "secret", "high")],
)
def test_risk_level_follows_flags_and_data_class(flags: list[str], data_class: str, level: str) -> None:
    assert risk_level(flags, data_class, sensitive=["secret"]) == level


def test_the_riskiest_counts() -> None:
    assert riskiest([RiskLevel.LOW, RiskLevel.HIGH, RiskLevel.ELEVATED]) is RiskLevel.HIGH
    assert riskiest([]) is RiskLevel.LOW
