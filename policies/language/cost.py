"""Largest costs of conditions: over every payload that a workflow permits, and lists of these sizes. Pure.

`threada_site.kernel.cel.cost` defines the model and the limit. Facts whose size nobody limits are bounded by the
default size of a request; an evaluation with larger ones is measured and refused then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.budget import CpuBudget
from policies.language.facts import CONTEXT_FACTS, ITEM_FACTS, VARIABLES
from policies.language.rules import PolicyDocument
from threada_site.kernel.cel import (
    MAX_COST,
    ORDINARY_BYTES,
    AnyValue,
    Built,
    Size,
    compile_expression,
    size_of_lists,
    size_of_schema,
    worst_cost,
)
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

TOO_EXPENSIVE: Final = "too_expensive"

_INPUT_BYTES: Final = 1_048_576
_FACT_BYTES: Final = 65_536
_NOTHING: Final = Built({}, AnyValue(0))


@dataclass(frozen=True, slots=True)
class PayloadLimits:
    """Limits of a workflow's payload: its JSON Schema, and the largest size of its canonical JSON in bytes."""

    schema: Any
    size: int


def costs_by_workflow(
    source: str, payloads: Mapping[str, PayloadLimits], *, lists: Mapping[str, int]
) -> Iterator[tuple[str, float]]:
    """Yield the workflows for whose largest payload the condition costs more than `MAX_COST`, with the cost."""
    condition = compile_expression(source, variables=VARIABLES)
    for workflow, payload in payloads.items():
        if condition.largest_cost <= MAX_COST or (condition.cost <= MAX_COST and payload.size <= ORDINARY_BYTES):
            continue
        cost = worst_cost(source, variables=VARIABLES, sizes=_sizes(payload, lists))
        if cost > MAX_COST:
            yield workflow, cost


def cost_errors(
    document: PolicyDocument,
    payloads: Mapping[str, PayloadLimits],
    *,
    lists: Mapping[str, int],
    cpu_budget: CpuBudget,
) -> list[FieldError]:
    """Return one error for every condition that costs too much, for the workflow where it costs most.

    Ends early when `cpu_budget` is used up: what remains is measured at each evaluation.
    """
    found = []
    for index, rule in enumerate(document.rules):
        if cpu_budget.is_used_up:
            break
        costs = dict(costs_by_workflow(rule.when, payloads, lists=lists))
        if costs:
            workflow = max(costs, key=costs.__getitem__)
            said = f"{workflow}: the condition {describe(costs[workflow])}"
            found.append(FieldError(pointer_to("", "rules", index, "when"), said, TOO_EXPENSIVE))
    return found


def describe(cost: float) -> str:
    """Return the end of a sentence about a condition that costs too much, with advice."""
    return (
        f"may cost {cost:,.0f} units for the largest payload of the workflow; {MAX_COST:,} are allowed. Compare less "
        "inside of loops, or limit what it reads with maxItems and maxLength in the payload schema, or with "
        "max_payload_bytes."
    )


def _sizes(payload: PayloadLimits, lists: Mapping[str, int]) -> dict[str, Size]:
    item = {name: size_of_schema(schema, size=_FACT_BYTES) for name, schema in ITEM_FACTS.items()}
    context = {name: size_of_schema(schema, size=_FACT_BYTES) for name, schema in CONTEXT_FACTS.items()}
    return {
        "item": _map({**item, "payload": size_of_schema(payload.schema, size=payload.size)}),
        "ctx": _map(context),
        "input": AnyValue(_INPUT_BYTES),
        "lists": size_of_lists(lists),
    }


def _map(named: Mapping[str, Size]) -> Size:
    return Built(named, _NOTHING, count=len(named), weight=1 + sum(3 + size.weight for size in named.values()))
