from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.facts import FACTS as DECISION_FACTS
from threada_site.kernel.cel import (
    ENGINE,
    MAX_LENGTH,
    BoundFacts,
    ExpressionError,
    assert_hardened,
    check_typed,
    compile_expression,
    compile_together,
    environment,
    expression,
)
from threada_site.kernel.json.strict import MAX_INTEGER

VARIABLES = ("item", "ctx", "input", "lists")
FACTS = {
    "item": {
        "payload": {
            "vendor": "Initech",
            "amount_minor": 1_500_000,
            "rate": 2.5,
            "whole": 2.0,
            "flag": True,
            "nothing": None,
            "lines": [{"amount": 1}, {"amount": 2}],
            "deep": {"b": 1, "a": [{}, None, "x"]},
        },
        "confidence": 0.9,
    },
    "ctx": {"action": "pay", "now": "2026-01-31T09:30:00.000Z"},
    "input": {},
    "lists": {"vendors": ["Initech", "Globex"], "numbers": [1, 2.5]},
}


def truth(source: str, facts: dict[str, Any] = FACTS) -> bool:
    return compile_expression(source, variables=VARIABLES).truth(facts)


def value(source: str, facts: dict[str, Any] = FACTS) -> Any:
    return compile_expression(source, variables=VARIABLES).value(facts)


class TestTruth:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("item.payload.vendor in lists.vendors", True),
            ("item.payload.amount_minor > 1000000", True),
            ("item.payload.amount_minor > 1500000.5", False),
            ("item.payload.rate > 2 && item.payload.rate < 3", True),
            ("item.payload.whole == 2", True),
            ("item.confidence < 1", True),
            ("item.payload.rate in lists.numbers && 1.0 in lists.numbers", True),
            ("has(item.payload.vendor) && !has(item.payload.vendr)", True),
            ("item.payload.lines.exists(line, line.amount == 2)", True),
            ("item.payload.lines.exists_one(line, line.amount > 0)", False),
            ("item.payload.amount_minor + item.payload.amount_minor == 3000000", True),
            ("item.payload.rate + item.payload.rate == 5.0", True),
            ("timestamp(ctx.now) + duration('1h') > timestamp(ctx.now)", True),
            ("item.payload.nothing == null", True),
            ("true || item.payload.missing", True),
            ("item.payload.missing || true", True),
            ("item.payload.flag", True),
            ("true // what follows is a comment", True),
        ],
    )
    def test_condition_is_true_or_false(self, source: str, expected: bool) -> None:
        assert truth(source) is expected

    @pytest.mark.parametrize(
        "source",
        [
            "item.payload.missing",
            "item.payload.missing == 1",
            "!item.payload.missing",
            "[item.payload.missing] == []",
            "item.payload.vendor > 5",
            "item.payload.vendor",
            "item.payload.nothing",
            "item.payload.amount_minor",
            "item.payload.lines",
            "item.payload.lines[7].amount == 1",
            "item.payload.vendor.size",
            "1 / 0 == 1",
            "item.payload.amount_minor * 9223372036854775807 > 0",
            "has(item.nothing_here.vendor)",
            "timestamp(item.payload.vendor) > timestamp(ctx.now)",
            "dyn('true')",
            "dyn(1)",
            "{'a': 1, 'a': 2} == {}",
            "item.payload.flag ? item.payload.missing : true",
        ],
    )
    def test_other_result_is_an_error(self, source: str) -> None:
        with pytest.raises(ExpressionError):
            truth(source)

    def test_error_value_of_the_engine_is_raised(self) -> None:
        with pytest.raises(ExpressionError) as caught:
            truth("item.payload.missing")
        assert caught.value.message == 'Key not found in map : "missing"'
        assert caught.value.line is None

    @pytest.mark.parametrize("facts", [{}, {"item": 2**80}, {"item": {"a": object()}}, {"item": {"a": (1,)}}])
    def test_facts_that_are_not_json_are_an_error(self, facts: dict[str, Any]) -> None:
        with pytest.raises(ExpressionError):
            truth("item.a == 1", facts)

    def test_additional_facts_are_ignored(self) -> None:
        assert truth("item.a == 1", {"item": {"a": 1}, "other": 2})


class TestValue:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("item.payload.vendor", "Initech"),
            ("item.payload.amount_minor", 1_500_000),
            ("item.payload.rate", 2.5),
            ("item.payload.nothing", None),
            ("item.payload.flag", True),
            ("item.payload.deep", {"a": [{}, None, "x"], "b": 1}),
            ("timestamp(ctx.now)", "2026-01-31T09:30:00.000Z"),
            ("{'vendor': item.payload.vendor, 'lines': size(item.payload.lines)}", {"vendor": "Initech", "lines": 2}),
            ("9007199254740990 + 1", MAX_INTEGER),
            ("'\\U0001F600'", "\U0001f600"),
        ],
    )
    def test_value_keeps_its_type(self, source: str, expected: Any) -> None:
        found = value(source)
        assert found == expected
        assert type(found) is type(expected)

    def test_members_have_the_same_order_in_every_process(self) -> None:
        assert list(value("{'b': 1, 'a': 2, 'c': 3}")) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        "source",
        [
            "item.payload.missing",
            "{'a': item.payload.missing}",
            "9007199254740991 + 1",
            "0.0 / 0.0",
            "1.0 / 0.0",
            "[1, [1e400]]",
            "b'abc'",
            "[b'abc']",
            "duration('1s')",
            "type(1)",
            "{1: 2}",
            "{true: 2}",
            "'\\u0000'",
        ],
    )
    def test_value_without_json_form_is_refused(self, source: str) -> None:
        with pytest.raises(ExpressionError):
            value(source)


class TestCompile:
    @pytest.mark.parametrize(
        ("source", "line", "column", "message"),
        [
            ("item.a ==\n  foo", 2, 3, "undeclared reference to 'foo'"),
            ("'\U0001f600' == foo", 1, 8, "undeclared reference to 'foo'"),
            ("item.list.map(x, x) == []", 1, 14, "map is not available in expressions."),
            ("item.list.filter(x, x > 1) == []", 1, 17, "filter is not available in expressions."),
            ("item.a.matches('a')", 1, 15, "matches is not available in expressions."),
            ("item.a + 'x' == ''", 1, 8, "+ adds numbers, instants and durations, not (dyn, string)."),
            ("[1] + item.list == []", 1, 5, "+ adds numbers, instants and durations, not (list(int), dyn)."),
            ("true\x00 && false", 1, 1, "It holds U+0000, behind which the engine would not read."),
            ("'\ud800' == ''", 1, 1, "It holds a lone surrogate, which is no Unicode text."),
            ("'" + "a" * MAX_LENGTH + "' == ''", 1, 1, "It is longer than 4096 bytes."),
            ("(" * 40 + "true" + ")" * 40, 1, 1, "Expression recursion limit exceeded. limit: 32"),
            ("google.protobuf.Value{} == null", 1, 1, "An expression cannot build a protobuf message."),
        ],
    )
    def test_error_names_line_and_column(self, source: str, line: int, column: int, message: str) -> None:
        with pytest.raises(ExpressionError) as caught:
            compile_expression(source, variables=VARIABLES)
        assert (caught.value.line, caught.value.column, caught.value.message) == (line, column, message)

    @pytest.mark.parametrize(
        "source", ["", " ", "1 +", "true; false", "true) || (true", "item.?a", "cel.bind(a, 1, a)"]
    )
    def test_invalid_expression_is_refused(self, source: str) -> None:
        with pytest.raises(ExpressionError):
            compile_expression(source, variables=VARIABLES)

    @pytest.mark.parametrize(
        "zone",
        [
            "'/dev/ptmx'",
            "'/usr/share/zoneinfo/UTC'",
            "'../zoneinfo/UTC'",
            "'Europe/../UTC'",
            "'file:UTC'",
            "''",
            f"'{'a' * 65}'",
            "dyn('UTC')",
            "true ? 'UTC' : 'UTC'",
            "item.zone",
        ],
    )
    @pytest.mark.parametrize("function", ["getHours", "getDayOfWeek", "getMilliseconds"])
    def test_time_zones_are_written_out_and_name_no_file(self, function: str, zone: str) -> None:
        """Never evaluated: the engine would open the file and hold the process until it can be read."""
        for operand in ("timestamp('2026-01-01T00:00:00Z')", "item.at"):
            with pytest.raises(ExpressionError, match="A time zone is written out"):
                compile_expression(f"{operand}.{function}({zone}) == 0", variables=VARIABLES)

    @pytest.mark.parametrize(
        ("zone", "hours"), [("'Europe/Berlin'", 1), ("'+01:30'", 1), ("'-01:00'", 23), ("'Etc/GMT-3'", 3), ("", 0)]
    )
    def test_named_time_zones_and_offsets_are_available(self, zone: str, hours: int) -> None:
        assert truth(f"timestamp('2026-01-01T00:00:00Z').getHours({zone}) == {hours}")

    def test_only_the_named_variables_exist(self) -> None:
        with pytest.raises(ExpressionError, match=r"undeclared reference to 'lists\.b'"):
            compile_expression("item.a in lists.b", variables=("item", "ctx", "input"))

    def test_the_same_source_is_compiled_once(self) -> None:
        first = compile_expression("item.a == 1", variables=VARIABLES)
        assert compile_expression("item.a == 1", variables=VARIABLES) is first

    @pytest.mark.parametrize(
        ("source", "lists"),
        [
            ("true", frozenset()),
            (
                "item.a in lists.vendors || item.b in lists['numbers'] || has(lists.other)",
                {"vendors", "numbers", "other"},
            ),
            ("item.l.exists(x, x.l.exists(y, y in lists.deep))", {"deep"}),
            ("lists[item.a] == []", None),
            ("'a' in lists", None),
            ("lists.exists(name, name == 'a')", None),
        ],
    )
    def test_lists_read_by_an_expression_are_known(self, source: str, lists: frozenset[str] | None) -> None:
        assert compile_expression(source, variables=VARIABLES).lists == lists

    @pytest.mark.parametrize(
        ("source", "expected"), [("item.a", True), ("1 < 2", True), ("1 + 1", False), ("'a'", False)]
    )
    def test_expression_that_can_never_be_a_condition_is_detected(self, source: str, expected: bool) -> None:
        assert compile_expression(source, variables=VARIABLES).may_be_truth is expected

    def test_engine_is_named_with_its_version(self) -> None:
        name, _, number = ENGINE.partition(" ")
        assert name == "cel-expr-python"
        assert number.count(".") == 2


class TestHardening:
    def test_engine_is_hardened(self) -> None:
        assert_hardened()

    def test_engine_without_the_exclusions_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environment, "_CONFIG", "stdlib:\n  exclude_makros: [map]\n")
        expression._environment.cache_clear()
        expression._compiled.clear()
        try:
            with pytest.raises(RuntimeError, match="which it must refuse"):
                assert_hardened()
        finally:
            monkeypatch.undo()
            expression._environment.cache_clear()
            expression._compiled.clear()
        assert_hardened()

    @pytest.mark.parametrize(
        "source",
        [
            "item.text + item.text == ''",
            "item.list + item.list == []",
            "dyn('a') + dyn('b') == 'ab'",
            "dyn(b'a') + dyn(b'b') == b'ab'",
            "[item.text].exists(a, a + a == '')",
        ],
    )
    def test_plus_never_concatenates_texts_or_lists(self, source: str) -> None:
        with pytest.raises(ExpressionError, match="adds numbers only"):
            truth(source, {"item": {"text": "a", "list": [1]}, "ctx": {}, "input": {}, "lists": {}})

    def test_values_cannot_be_doubled_by_nested_loops(self) -> None:
        source = "[[item.a, item.a]].exists(x0, @)"
        for level in range(1, 10):
            source = source.replace("@", f"[[x{level - 1}, x{level - 1}]].exists(x{level}, @)")
        with pytest.raises(ExpressionError, match="made of facts inside a loop"):
            truth(source.replace("@", "x9 == x9"))

    @pytest.mark.parametrize(
        "source",
        [
            "item.payload.lines.all(x, {'a': [x, x]}['a'].all(y, y == x))",
            "item.payload.lines.all(x, (true ? [x, x] : [x]).all(y, y == x))",
            "item.payload.lines.all(x, [[x, x]][0].exists(y, true))",
        ],
    )
    def test_concatenation_limit_cannot_be_bypassed(self, source: str) -> None:
        with pytest.raises(ExpressionError, match="made of facts inside a loop"):
            truth(source)

    def test_ordinary_nested_loops_are_fine(self) -> None:
        assert truth("[item.payload.rate, 1].exists(x, ['a', 'b'].exists(y, item.payload.lines.all(z, z.amount > 0)))")

    def test_loop_is_bounded(self) -> None:
        with pytest.raises(ExpressionError, match="Iteration budget exceeded"):
            truth("item.l.all(x, x >= 0)", {"item": {"l": list(range(10_001))}})


numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)


@given(left=numbers, right=numbers)
def test_dynamic_addition_is_addition(left: float, right: float) -> None:
    facts = {"item": {"a": left, "b": right}, "ctx": {}, "input": {}, "lists": {}}
    source = "item.a + item.b == input"
    if type(left) is type(right):
        assert truth(source, facts | {"input": left + right})
    else:
        with pytest.raises(ExpressionError):
            truth(source, facts | {"input": 0})


conditions = st.lists(
    st.sampled_from(
        [
            "true",
            "false // no",
            "item.a > 1",
            "item.b == 'x'",
            "item.b",
            "item.missing",
            "item.missing || item.a > 0",
            "item.a + item.a > 3",
            "item.b in lists.l",
            "item.a == 1 ? item.b == 'x' : true",
        ]
    ),
    min_size=1,
    max_size=6,
)


@given(sources=conditions, a=st.integers(0, 3), b=st.sampled_from(["x", "y", True, None]))
def test_combined_conditions_equal_separate_ones(sources: list[str], a: int, b: object) -> None:
    facts = {"item": {"a": a, "b": b}, "ctx": {}, "input": {}, "lists": {"l": ["y"]}}
    compiled = [compile_expression(source, variables=VARIABLES) for source in sources]
    bound = BoundFacts(facts, variables=VARIABLES)
    alone: list[bool] | None = []
    for condition in compiled:
        try:
            alone = None if alone is None else [*alone, condition.truth(bound)]
        except ExpressionError:
            alone = None
    together = compile_together(compiled)
    assert together is not None
    assert together.truths(bound) == alone


def test_conditions_too_deep_to_combine_are_evaluated_separately() -> None:
    deep = compile_expression("(" * 31 + "true" + ")" * 31, variables=VARIABLES)
    assert deep.truth(FACTS)
    assert compile_together([deep, deep]) is None
    assert compile_together([]) is None


SCHEMA = {
    "type": "object",
    "required": ["vendor", "amount_minor"],
    "properties": {
        "vendor": {"type": "string"},
        "amount_minor": {"type": "integer"},
        "rate": {"type": "number"},
        "note": {"type": ["string", "null"]},
        "choice": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "anything": {},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "open": {"type": "object", "properties": {"known": {"type": "integer"}}, "additionalProperties": True},
        "elsewhere": {"$ref": "https://example.com/schema"},
        "nowhere": {"$ref": "#/$defs/nothing"},
        "snake_case": {"type": "string"},
        "snakeCase": {"type": "string"},
        "kebab-case": {"type": "string"},
    },
    "$defs": {
        "line": {
            "type": "object",
            "properties": {
                "amount": {"type": "integer"},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            },
        }
    },
}


def problems(source: str, **options: Any) -> list[tuple[int, int, str]]:
    found = check_typed(
        source, **{"facts": DECISION_FACTS, "payload_schema": SCHEMA, "variables": VARIABLES, **options}
    )
    return [(problem.line, problem.column, problem.message) for problem in found]


class TestTyped:
    def test_misspelt_field_is_reported_with_position_and_suggestion(self) -> None:
        assert problems("true &&\n  item.payload.vendr == 'x' && item.payload.amont_minor > 1") == [
            (2, 16, "item.payload.vendr is unknown. Did you mean item.payload.vendor?"),
            (2, 45, "item.payload.amont_minor is unknown. Did you mean item.payload.amount_minor?"),
        ]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("has(item.payload.vendr)", "item.payload.vendr is unknown. Did you mean item.payload.vendor?"),
            ("item.confidnce < 0.5", "item.confidnce is unknown. Did you mean item.confidence?"),
            ("ctx.rols.exists(r, r == 'x')", "ctx.rols is unknown. Did you mean ctx.roles?"),
            (
                "item.payload.lines.exists(l, l.parts.exists(p, p.amoun > 1))",
                "item.payload.lines[].amoun is unknown. Did you mean item.payload.lines[].amount?",
            ),
            ("item.payload.vendor > 5", "found no matching overload for '_>_' applied to '(string, int)'"),
            ("item.payload > 5", "found no matching overload for '_>_' applied to '(object, int)'"),
            ("item.payload.amount_minor == 'x'", "found no matching overload for '_==_' applied to '(int, string)'"),
            ("item.payload.open.known == 'x'", "found no matching overload for '_==_' applied to '(int, string)'"),
            (
                "item.payload.vendor + item.payload.snake_case == ''",
                "+ adds numbers, instants and durations, not (string, string).",
            ),
            (
                "item.payload.rate * 2.0 > 1.0",
                "A JSON number arrives as int or double. Write double(…) around both sides to calculate.",
            ),
            (
                "item.payload.rate * 2 > 1",
                "A JSON number arrives as int or double. Write double(…) around both sides to calculate.",
            ),
            ("item.payload.vendor", "A condition must say true or false, and this says string."),
            ("foo == 1", "undeclared reference to 'foo'"),
            ("item.payload.vendor ==", "Syntax error: mismatched input '<EOF>'"),
        ],
    )
    def test_type_error_is_found(self, source: str, message: str) -> None:
        found = problems(source)
        assert len(found) == 1
        assert found[0][2].startswith(message)

    @pytest.mark.parametrize(
        "source",
        [
            "item.payload.amount_minor > 1000000",
            "item.payload.amount_minor > 1.5",
            "item.payload.rate > 5 || item.payload.rate == 5 || item.payload.rate in [1, 2]",
            "item.payload.amount_minor < item.payload.rate",
            "double(item.payload.rate) * 2.0 > 1.0",
            "item.payload.amount_minor + item.payload.amount_minor > 1",
            "item.confidence < 1",
            "item.payload.note == null || item.payload.note.startsWith('x')",
            "item.payload.vendor == null",
            "item.payload.choice == 1 || item.payload.choice == 'a'",
            "item.payload.anything.at.all[3]",
            "item.payload.lines[0].parts[0].parts[0].amount == 1",
            "item.payload.matrix[0][1] > 2",
            "item.payload.labels.whatever == 'x'",
            "item.payload.open.unknown == 'x'",
            "item.payload.elsewhere.a && item.payload.nowhere.b",
            "item.payload.snake_case == item.payload.snakeCase",
            "item.payload['kebab-case'] == 'x' && 'vendor' in item.payload && size(item.payload) > 1",
            "item.payload.exists(key, key == 'x') || item.payload == {'a': 1}",
            "item.payload.vendor in lists.vendors && input.anything == 1",
            "timestamp(ctx.now) > timestamp('2026-01-01T00:00:00Z') && 'finance' in ctx.roles",
        ],
    )
    def test_expression_that_evaluates_passes_the_check(self, source: str) -> None:
        assert problems(source) == []

    def test_lists_and_input_are_checked_if_known(self) -> None:
        assert problems("item.payload.vendor in lists.vendrs", lists={"vendors"}) == [
            (1, 30, "lists.vendrs is unknown. Did you mean lists.vendors?")
        ]
        schema = {"type": "object", "properties": {"question": {"type": "string"}}}
        assert problems("input.qestion == ''", input_schema=schema) == [
            (1, 7, "input.qestion is unknown. Did you mean input.question?")
        ]

    def test_template_may_have_any_type(self) -> None:
        assert problems("item.payload.vendor", variables=("item", "ctx", "input"), is_condition=False) == []

    @pytest.mark.parametrize(
        "schema", [True, {}, {"type": "object"}, {"anyOf": [{}]}, {"$ref": "#"}, {"properties": {}}]
    )
    def test_loose_schema_checks_little(self, schema: Any) -> None:
        assert problems("item.payload.a.b > 1", payload_schema=schema) == []
