"""Rules as data: what a policy document says once it has been read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policies.language.approvals import ApprovalRule
from policies.language.facts import Point


class Effect(StrEnum):
    """What a rule asks for, the strictest first: among matched rules the strictest wins."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    REVIEW = "review"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `overrides` names rules as `policy/rule`; it loosens them only where they are `overridable`."""

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
    """A document's own example: some facts, and what its rules must say about them. `pointer` is where it stands."""

    given: Mapping[str, Any]
    effect: Effect
    reason: str | None
    pointer: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A policy as written. `id` is None where only its spec was given."""

    id: str | None
    rules: tuple[Rule, ...]
    tests: tuple[PolicyTest, ...] = ()
    default: Effect = Effect.DENY
