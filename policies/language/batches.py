"""Batches of rules: conditions evaluated in one call of the engine, within a bound on its cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.language.rules import Rule
from threada_site.kernel.cel import MAX_COST, ConditionList, Expression, compile_together

_TOGETHER: Final = 20
"""Rules per batch. Time is checked before each batch and after the last.

A batch with a failing rule is evaluated rule by rule.
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rules evaluated in one call of the engine. `together` is None if their conditions have to be evaluated alone.

    The conditions cost at most `MAX_COST` together, for facts of any size unless `needs_ordinary_facts`.
    """

    rules: tuple[Rule, ...]
    conditions: tuple[Expression, ...]
    together: ConditionList | None
    needs_ordinary_facts: bool = False


def batches_of(rules: Iterable[Rule], conditions: Mapping[str, Expression]) -> Iterator[Batch]:
    """Yield the rules in batches. A rule with a loop has its own, so time is checked before and after it."""
    together: list[Rule] = []
    cost = 0.0
    for rule in rules:
        condition = conditions[rule.id]
        if together and (condition.loops or len(together) == _TOGETHER or cost + condition.cost > MAX_COST):
            yield _batch(together, conditions)
            together, cost = [], 0.0
        if condition.loops:
            yield _batch([rule], conditions)
        else:
            together.append(rule)
            cost += condition.cost
    if together:
        yield _batch(together, conditions)


def _batch(rules: Iterable[Rule], conditions: Mapping[str, Expression]) -> Batch:
    rules = tuple(rules)
    chosen = tuple(conditions[rule.id] for rule in rules)
    is_cheap = sum(condition.cost for condition in chosen) <= MAX_COST
    needs_ordinary_facts = sum(condition.largest_cost for condition in chosen) > MAX_COST
    return Batch(rules, chosen, compile_together(chosen) if is_cheap else None, needs_ordinary_facts)
