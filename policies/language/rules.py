"""Rules as data: the parsed form of a policy document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policies.language.approvals import ApprovalRule
from policies.language.facts import Point


class Effect(StrEnum):
    """Effects of a rule, strictest first. Among matched rules the strictest effect wins."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    REVIEW = "review"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `overrides` names rules as `policy/rule`; it has an effect only on rules that are `overridable`."""

    id: str
    when: str
    effect: Effect
    at: frozenset[Point]
    reason: str
    message: str | None = None
    approvals: ApprovalRule | None = None
    overrides: tuple[str, ...] = ()
    overridable: bool = False


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A test in a policy document: sample facts and the expected result. `pointer` is its place in the document."""

    given: Mapping[str, Any]
    effect: Effect
    reason: str | None
    pointer: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A parsed policy document. `id` is None for a bare spec."""

    id: str | None
    rules: tuple[Rule, ...]
    tests: tuple[PolicyTest, ...] = ()
    default: Effect = Effect.DENY
