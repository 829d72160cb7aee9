"""Bound on the cost of an evaluation: what it refuses, and that it is never below what an evaluation takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threada_site.kernel.cel import (
    MAX_COST,
    AnyValue,
    BoundFacts,
    Built,
    ExpressionTooExpensive,
    Size,
    compile_expression,
    size_of_lists,
    size_of_schema,
    worst_cost,
)
from threada_site.kernel.cel.actual_sizes import ActualSize, actual_sizes
from threada_site.kernel.cel.sizes import OfSchema
from threada_site.kernel.json.canonical import canonical_bytes

VARIABLES = ("item", "lists")
SELF = "item.xs == item.xs"


def facts(*, lists: dict[str, list[Any]] | None = None, **item: Any) -> dict[str, Any]:
    return {"item": item, "lists": lists or {}}


def cost(source: str, supplied: dict[str, Any]) -> float:
    return worst_cost(source, variables=VARIABLES, sizes=actual_sizes(supplied))


def cost_of_schema(source: str, properties: dict[str, Any], *, size: int = 262_144, **lists: int) -> float:
    schema = {"type": "object", "properties": properties}
    sizes = {"item": size_of_schema(schema, size=size), "lists": size_of_lists(lists)}
    return worst_cost(source, variables=VARIABLES, sizes=sizes)


class TestRefusal:
    @pytest.mark.parametrize(
        "source",
        [
            f"item.xs.all(x, {' && '.join([SELF] * 80)})",
            "item.xs.all(x, item.xs.all(y, item.xs == item.xs))",
            "item.xs.all(x, item.ms == item.ms)",
            "item.xs.all(x, !(item.xs in item.rows))",
            "item.xs.all(x, size(item.text) > 0)",
            "item.xs.all(x, !item.text.contains('b'))",
            "item.xs.all(x, item.xs.all(y, !('b' in item.strings)))",
            "!item.text.contains(item.part)",
            "item.xs.all(x, bytes(item.text) == bytes(item.text) && string(item.text) == item.text)",
            "item.xs.all(x, {'a': item.ms} == {'a': item.ms})",
            "item.xs.all(x, (x > 5 ? item.ms : item.ms) == item.ms)",
            "[item.ms].all(m, item.xs.all(x, m == m))",
            "item.xs.all(x, item['ms'] == item['ms'])",
            "item.xs.exists(x, item.ms[item.text] == 1)",
        ],
    )
    def test_what_would_hold_the_process_is_refused_before_it_is_evaluated(self, source: str) -> None:
        numbers = list(range(1000))
        supplied = facts(
            xs=numbers,
            ms={str(number): {"a": number} for number in range(3000)},
            rows=[[*numbers[:-1], -number] for number in numbers],
            strings=[str(number) for number in numbers],
            text="a" * 400_000,
            part="a" * 200_000 + "b",
        )
        began = time.thread_time()
        with pytest.raises(ExpressionTooExpensive, match=r"may cost [\d,]+ units with these facts; 2,500,000"):
            compile_expression(source, variables=VARIABLES).truth(supplied)
        assert time.thread_time() - began < 1

    @pytest.mark.parametrize(
        "source",
        [
            "item.lines.all(line, line.amount > 0 && line.vendor != '')",
            "item.lines.all(line, !(line.vendor in lists.sanctioned))",
            "item.lines.exists(line, line.vendor == item.vendor)",
            "item.lines.all(line, item.lines.exists(other, other.amount == line.amount))",
            "item.lines == item.lines",
            "item.vendor in lists.sanctioned",
            "size(item.lines) == 60",
            "timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')",
        ],
    )
    def test_what_a_policy_says_of_lines_is_evaluated(self, source: str) -> None:
        lines = [{"amount": number + 1, "vendor": f"V{number}"} for number in range(60)]
        sanctioned = [f"S{number}" for number in range(10_000)]
        supplied = facts(lists={"sanctioned": sanctioned}, lines=lines, vendor="V3")
        expected = source != "item.vendor in lists.sanctioned"
        assert compile_expression(source, variables=VARIABLES).truth(supplied) is expected

    def test_a_condition_that_is_cheap_for_ordinary_facts_is_measured_for_larger_ones(self) -> None:
        condition = compile_expression("item.a == item.b", variables=VARIABLES)
        assert condition.cost < MAX_COST < condition.largest_cost
        small = BoundFacts(facts(a=[1], b=[1]), variables=VARIABLES)
        assert small.is_ordinary
        assert condition.truth(small)
        many = list(range(1_500_000))
        large = BoundFacts(facts(a=many, b=many), variables=VARIABLES)
        assert not large.is_ordinary
        with pytest.raises(ExpressionTooExpensive):
            condition.truth(large)

    def test_facts_that_take_too_long_to_measure_are_taken_for_unknown(self) -> None:
        source = "item.xs.all(x, " + " && ".join(f"x.a{number} == x.b{number}" for number in range(200)) + ")"
        supplied = facts(xs=[{"a": 1}] * 9000)
        began = time.thread_time()
        with pytest.raises(ExpressionTooExpensive):
            compile_expression(source, variables=VARIABLES).truth(supplied)
        assert time.thread_time() - began < 5


class TestSchemas:
    INTEGERS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}

    def test_lists_without_a_limit_are_limited_by_the_payload_alone(self) -> None:
        source = f"item.xs.all(x, {SELF})"
        assert cost_of_schema(source, {"xs": self.INTEGERS}) > MAX_COST
        assert cost_of_schema(source, {"xs": {**self.INTEGERS, "maxItems": 1000}}) < MAX_COST
        assert cost_of_schema(source, {"xs": self.INTEGERS}, size=1000) < MAX_COST

    @pytest.mark.parametrize(
        ("source", "properties"),
        [
            ("item.xs.all(x, item.t == item.u)", {"t": {"type": "string"}, "u": {}}),
            ("item.xs.all(x, size(item.t) > 0)", {"t": {"type": "string", "maxLength": 100}}),
            ("item.xs.all(x, item.t == item.t)", {"t": {"enum": ["one", "two"]}}),
            ("item.xs.all(x, size(item.t) > 0)", {"t": {"const": "one", "type": "string"}}),
            ("item.xs.all(x, x.a == x.a)", {}),
            (
                "item.xs.all(x, item.m == item.m)",
                {"m": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "integer"}}},
            ),
            (
                "item.xs.all(x, item.m == item.m)",
                {"m": {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False}},
            ),
            ("item.xs.all(x, item.m[item.k] == 1)", {"k": {"type": "string", "maxLength": 64}}),
        ],
    )
    def test_limits_of_a_schema_bound_the_cost(self, source: str, properties: dict[str, Any]) -> None:
        line = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
        xs = {"type": "array", "maxItems": 2000, "items": line}
        assert cost_of_schema(source, {"xs": xs, **properties}) <= MAX_COST

    def test_growing_lists_and_payloads_grow_the_cost(self) -> None:
        lines = {"lines": {"type": "array", "maxItems": 200, "items": {"type": "string", "maxLength": 40}}}
        source = "item.lines.all(line, !(line in lists.sanctioned))"
        costs = [cost_of_schema(source, lines, sanctioned=count) for count in (10, 1000, 10_000)]
        assert costs == sorted(costs)
        assert costs[0] < costs[1] < MAX_COST < cost_of_schema(source, {}, sanctioned=10_000)

    def test_recursive_and_deep_schemas_are_bounded_by_the_payload(self) -> None:
        recursive = {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
        assert size_of_schema(recursive, size=1000).weight <= AnyValue(1000).weight
        links = {
            f"n{number}": {
                "type": "object",
                "properties": {"next": {"$ref": f"#/$defs/n{number + 1}"}},
                "additionalProperties": False,
            }
            for number in range(2000)
        }
        chain = {"$defs": {**links, "n2000": {"type": "null"}}, "$ref": "#/$defs/n0"}
        assert size_of_schema(chain, size=1000).weight <= AnyValue(1000).weight
        doubling = {
            f"n{number}": {"properties": {key: {"$ref": f"#/$defs/n{number + 1}"} for key in "ab"}}
            for number in range(60)
        }
        began = time.thread_time()
        assert size_of_schema({"$defs": doubling, "$ref": "#/$defs/n0"}, size=1000).weight <= AnyValue(1000).weight
        assert time.thread_time() - began < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text("abé", max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=4),
    max_leaves=40,
)


@dataclass(frozen=True)
class Asked:
    """An expression with a reference in Python that counts the steps of its evaluation."""

    source: str
    kind: str
    parts: tuple[Any, ...] = ()

    def steps(self, names: dict[str, Any]) -> int:
        match self.kind:
            case "equal":
                left, right = (part.value(names) for part in self.parts)
                return 1 + min(nodes(left), nodes(right))
            case "member":
                value, container = (part.value(names) for part in self.parts)
                if not isinstance(container, list):
                    return 1
                return 1 + sum(min(nodes(value), nodes(each)) for each in container)
            case "loop":
                over, body = self.parts
                found = over.value(names)
                looped = list(found) if isinstance(found, list | dict) else []
                return 1 + sum(1 + body.steps({**names, "x": each}) for each in looped)
        return 1 + sum(part.steps(names) for part in self.parts)

    def value(self, names: dict[str, Any]) -> Any:
        node: Any = names
        for name in self.source.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return node


def nodes(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + nodes(child) for child in value.values())
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1


def paths(*roots: str) -> st.SearchStrategy[Asked]:
    names = st.lists(st.sampled_from("abcx"), max_size=3)
    return st.builds(lambda root, rest: Asked(".".join([root, *rest]), "path"), st.sampled_from(roots), names)


def conditions(depth: int, *roots: str) -> st.SearchStrategy[Asked]:
    path = paths(*roots)
    found = st.builds(lambda a, b: Asked(f"({a.source} == {b.source})", "equal", (a, b)), path, path)
    found |= st.builds(lambda a, b: Asked(f"({a.source} in {b.source})", "member", (a, b)), path, path)
    if not depth:
        return found
    inner = conditions(depth - 1, *roots)
    found |= st.builds(lambda a, b: Asked(f"({a.source} && {b.source})", "and", (a, b)), inner, inner)
    looped = conditions(depth - 1, *roots, "x")
    return found | st.builds(
        lambda over, body: Asked(f"{over.source}.all(x, {body.source})", "loop", (over, body)), path, looped
    )


def inferred(value: Any) -> dict[str, Any]:
    """Return a schema that `value` matches, with limits as tight as its lists and texts."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {name: inferred(child) for name, child in value.items()},
            "additionalProperties": False,
        }
    if isinstance(value, list):
        kinds = [inferred(child) for child in value]
        same = bool(kinds) and all(kind == kinds[0] for kind in kinds)
        return {"type": "array", "maxItems": len(value), "items": kinds[0] if same else {"anyOf": kinds or [True]}}
    if isinstance(value, str):
        return {"type": "string", "maxLength": len(value)}
    return {"type": ["integer", "null", "boolean"]}


@settings(max_examples=300, deadline=None)
@given(conditions(3, "item", "item.a"), st.dictionaries(st.sampled_from("abcx"), JSON, max_size=4))
def test_bounds_are_ordered(asked: Asked, item: dict[str, Any]) -> None:
    """Steps ≤ bound from the facts ≤ bound from a schema that they match ≤ bound from the size of the payload."""
    size = len(canonical_bytes(item))
    exact = cost(asked.source, {"item": item})
    by_schema = worst_cost(asked.source, variables=VARIABLES, sizes={"item": size_of_schema(inferred(item), size=size)})
    unknown = worst_cost(asked.source, variables=VARIABLES, sizes={"item": AnyValue(size)})
    assert asked.steps({"item": item}) <= exact <= by_schema <= unknown + 1e-6


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_sizes_are_bounds(value: Any) -> None:
    size = len(canonical_bytes(value))
    exact = actual_sizes({"value": value})["value"]
    schema = size_of_schema(inferred(value), size=size)
    for bound in (schema, AnyValue(size)):
        assert_covers(bound, exact, depth=4)


def assert_covers(bound: Size, exact: Size, *, depth: int) -> None:
    assert exact.count <= bound.count
    assert exact.text <= bound.text
    assert exact.weight <= bound.weight + 1e-9
    if depth and isinstance(exact, ActualSize) and exact.values:
        for name in "abcx":
            if exact.field(name).values:  # type: ignore[attr-defined]
                assert_covers(bound.field(name), exact.field(name), depth=depth - 1)
        for part in ("child", "looped"):
            inner = getattr(exact, part)()
            if inner.values:
                assert_covers(getattr(bound, part)(), inner, depth=depth - 1)


def test_time_stays_within_the_bound() -> None:
    """The factors hold: no evaluation takes longer than its units, at ten times 0.1 µs for a busy machine."""
    numbers = list(range(900))
    supplied = facts(
        xs=numbers,
        ms={str(number): {"a": number} for number in range(300)},
        text="😀" * 2000,
        seconds="1s" * 2000,
        lists={"names": [f"n{number}" for number in range(1000)]},
    )
    bound = BoundFacts(supplied, variables=VARIABLES)
    for source in (
        f"item.xs.all(x, {SELF})",
        "item.xs.all(x, item.ms == item.ms)",
        "item.xs.all(x, size(item.text) > 0)",
        "item.xs.all(x, !('k' in lists.names))",
        "item.xs.all(x, timestamp('2026-01-01T00:00:00Z').getHours('Europe/Berlin') == 1)",
        "item.xs.all(x, duration(item.seconds) == duration('2000s'))",
        "item.xs.all(x, type(x) == int && string(x) != '' && x * 2 >= x)",
        "item.ms.all(key, key in item.ms && item.ms[key].a >= 0)",
    ):
        condition = compile_expression(source, variables=VARIABLES)
        condition.truth(bound)
        began = time.thread_time()
        condition.truth(bound)
        assert time.thread_time() - began < cost(source, supplied) * 1e-6, source


@pytest.mark.parametrize("source", ["lists == lists", "[lists] == [lists]", "!(lists in [lists])"])
def test_all_lists_are_not_compared_in_a_loop(source: str) -> None:
    supplied = facts(xs=list(range(1000)), lists={f"l{number}": list(range(1000)) for number in range(20)})
    with pytest.raises(ExpressionTooExpensive):
        compile_expression(f"item.xs.all(x, {source})", variables=VARIABLES).truth(supplied)
    assert cost_of_schema(f"item.xs.all(x, {source})", {"xs": {"type": "array"}}, one=1000, two=1000) > MAX_COST
    assert isinstance(compile_expression(source, variables=VARIABLES).truth(facts()), bool)


def test_keys_that_only_the_facts_show_to_be_missing_do_not_refuse_a_rule() -> None:
    source = "item.ms.all(key, item.ms[key] > 0)"
    sizes = {"ms": {"type": "object", "additionalProperties": {"type": "integer"}}}
    assert cost_of_schema(source, sizes) < MAX_COST
    assert compile_expression(source, variables=VARIABLES).truth(facts(ms={"k" * 300: 1, "j" * 300: 1}))


def test_built_values_and_schemas_are_compared_by_identity() -> None:
    assert Built({}, AnyValue(1)) != Built({}, AnyValue(1))
    assert isinstance(size_of_schema({}, size=1), OfSchema)
