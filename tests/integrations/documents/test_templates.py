"""Templates `${ … }`: types, encoding by place, and problems by pointer."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.documents.templates import Place, compile_template, render
from threada_site.kernel.errors import DocumentInvalid, ExpressionFailed

FACTS = {
    "item": {
        "id": "wi_1",
        "payload": {
            "vendor": "Müller & Söhne/Ltd",
            "amount_minor": 1250,
            "ratio": 0.5,
            "urgent": True,
            "none": None,
            "empty": "",
            "dots": "..",
            "dot": ".",
            "lines": "a\r\nX-Evil: 1",
            "euro": "€",
            "tags": ["a", "b"],
            "braces": "}${'{",
            "template": "${item.id}",
        },
    },
    "ctx": {"action": "pay"},
    "input": {"note": "hello"},
}


def rendered(value: Any, place: Place = Place.VALUE) -> Any:
    return render(compile_template(value, place=place), FACTS)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("${item.payload.amount_minor}", 1250),
        ("${item.payload.amount_minor * 2 + 1}", 2501),
        ("${item.payload.ratio}", 0.5),
        ("${item.payload.urgent}", True),
        ("${item.payload.none}", None),
        ("${item.payload.tags}", ["a", "b"]),
        ("${item.payload.vendor}", "Müller & Söhne/Ltd"),
        ("${ item.payload.urgent ? 'now' : 'later' }", "now"),
        ("${{'a': {'b': ctx.action}}}", {"a": {"b": "pay"}}),
        ("${item.payload.braces == '}${\\'{'}", True),
        ('${item.payload.braces == "}${\'{"}', True),
        ("${item.payload.dots == r'..'}", True),
        ("${item.payload.dots == '''..'''}", True),
        ("${1 // a comment with } in it\n + 1}", 2),
        ("${has(input.note) && input.note == 'hello'}", True),
        ("plain", "plain"),
        ("", ""),
        ("$", "$"),
        ("$x {y}", "$x {y}"),
        ("$${item.id}", "${item.id}"),
        ("cost: $$${x}", "cost: $${x}"),
        ("a $${b} c", "a ${b} c"),
        (17, 17),
        (None, None),
        (False, False),
        ({"a": ["${item.id}", {"b": "${ctx.action}", "c": "d"}]}, {"a": ["wi_1", {"b": "pay", "c": "d"}]}),
        ({"a/b": "${item.id}"}, {"a/b": "wi_1"}),
    ],
)
def test_value(source: Any, value: Any) -> None:
    result = rendered(source)
    assert result == value
    assert type(result) is type(value)


def test_a_rendered_string_is_never_rendered_again() -> None:
    assert rendered("${item.payload.template}") == "${item.id}"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/p/${item.payload.vendor}/x", "/p/M%C3%BCller%20%26%20S%C3%B6hne%2FLtd/x"),
        ("/p/${item.payload.amount_minor}", "/p/1250"),
        ("/p/${item.payload.ratio}/${item.payload.urgent}", "/p/0.5/true"),
        ("/p/${item.payload.lines}", "/p/a%0D%0AX-Evil%3A%201"),
        ("/p/v${item.payload.dots}", "/p/v.."),
        ("/p/${'50%?#'}", "/p/50%25%3F%23"),
        ("/p/$${x}", "/p/${x}"),
    ],
)
def test_path_is_percent_encoded(source: str, path: str) -> None:
    assert rendered(source, Place.PATH) == path


@pytest.mark.parametrize(
    "source",
    [
        "/p/${item.payload.dots}/x",
        "/p/${item.payload.dot}",
        "/p/.${item.payload.dot}/x",
        "/p/%2e${item.payload.dot}/x",
        "/p/${item.payload.empty}",
        "/p/${item.payload.none}",
        "/p/${item.payload.tags}",
        "/p/${item.payload}",
    ],
)
def test_value_that_would_make_another_path_is_refused(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        rendered(source, Place.PATH)


def test_header_holds_text_inside_a_string() -> None:
    assert rendered("item ${item.id}; n=${item.payload.amount_minor}", Place.HEADER) == "item wi_1; n=1250"
    assert rendered("${item.payload.vendor}", Place.HEADER) == "Müller & Söhne/Ltd"


@pytest.mark.parametrize("name", ["lines", "euro", "none", "tags"])
def test_value_that_no_header_holds_is_refused(name: str) -> None:
    with pytest.raises(ExpressionFailed):
        rendered(f"x ${{item.payload.{name}}}", Place.HEADER)
    with pytest.raises(ExpressionFailed):
        rendered("x${' '}", Place.HEADER)


def test_text_for_people_is_not_encoded() -> None:
    assert rendered("Pay ${item.payload.vendor}?", Place.TEXT) == "Pay Müller & Söhne/Ltd?"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a ${item.id}", "possible in a path or a header only"),
        ("${item.id}${ctx.action}", "possible in a path or a header only"),
        (" ${item.id}", "possible in a path or a header only"),
        ("${item.id", "never closed"),
        ("${'}", "never closed"),
        ("${", "never closed"),
        ("${}", "Syntax error"),
        ("${item.}", "Syntax error"),
        ("${lists.vendors}", "lists"),
        ("${secrets.x}", "secrets"),
        ("${item.id.matches('a')}", "matches"),
        ("${" + "a" * 5000 + "}", "longer than"),
    ],
)
def test_compile_errors_are_reported_by_pointer(source: str, said: str) -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        compile_template({"a": [1, source], "fine": "${item.id}"}, pointer="/spec/actions/pay/body")
    (error,) = refusal.value.errors
    assert error.pointer == "/spec/actions/pay/body/a/1"
    assert said in error.detail


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        compile_template({"${a}": 1, "b": "${", "c/d": {"~": "${!}"}})
    assert [error.pointer for error in refusal.value.errors] == ["", "/b", "/c~1d/~0"]


def test_every_failing_expression_is_named_at_once() -> None:
    template = compile_template(
        {"a": "${item.payload.missing}", "b": ["${1 / 0}"], "c": "${item.id}"}, pointer="/spec/actions/pay/body"
    )
    with pytest.raises(ExpressionFailed) as refusal:
        render(template, FACTS)
    assert [error.pointer for error in refusal.value.errors] == [
        "/spec/actions/pay/body/a",
        "/spec/actions/pay/body/b/0",
    ]


@pytest.mark.parametrize("source", ["${9007199254740993}", "${b'x'}", "${duration('1s')}", "${1.0 / 0.0}"])
def test_value_outside_i_json_is_refused(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        rendered(source)
