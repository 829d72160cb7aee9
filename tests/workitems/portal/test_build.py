"""Forms from payload schemas: fields, what was typed as a payload, and parts that are edited as JSON."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from policies.documents import payload_schema as payloads
from workitems.portal.build import MAX_FIELDS, Form, build_form
from workitems.portal.entered import Entered
from workitems.portal.nodes import MISSING


def object_of(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def typed(rows: tuple[str, ...] = (), **texts: str | tuple[str, ...]) -> Entered:
    """Return entered texts, `vendor="Hooli"` or `**{"lines/0/sku": "x"}`."""
    found = {f"/{name}": (text,) if isinstance(text, str) else text for name, text in texts.items()}
    return Entered(found, frozenset(rows))


def sent(schema: dict[str, Any], entered: Entered, **options: Any) -> Form:
    """Return a form with the errors of the validator."""
    form = build_form(schema, entered, **options)
    form.place_errors(payloads.validate(schema, form.payload))
    return form


def kinds(form: Form) -> dict[str, str]:
    return {node.pointer: node.kind for node in form.root.walk() if node.pointer}


@pytest.mark.parametrize(
    ("schema", "kind", "text", "value"),
    [
        ({"type": "string"}, "input", " a ", "a"),
        ({"type": "string", "maxLength": 5000}, "area", "a\r\nb", "a\nb"),
        ({"type": "string", "format": "date"}, "input", "2026-01-31", "2026-01-31"),
        ({"type": "string", "format": "date-time"}, "input", "2026-01-31T10:30", "2026-01-31T09:30:00.000Z"),
        ({"type": "string", "format": "date-time"}, "input", "2026-01-31T10:30:00Z", "2026-01-31T10:30:00.000Z"),
        ({"type": "string", "format": "email"}, "input", "a@example.com", "a@example.com"),
        ({"type": "string", "format": "uri"}, "input", "https://example.com", "https://example.com"),
        ({"type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2}, "input", "4", 4),
        ({"type": "number"}, "input", "1.5e3", 1500.0),
        ({"type": "number"}, "input", "7", 7),
        ({"type": ["number", "integer"]}, "input", "7", 7),
        ({"type": ["string", "null"]}, "input", "x", "x"),
        ({"enum": ["EUR", 3, None]}, "choice", "3", 3),
        ({"enum": ["EUR", 3, None]}, "choice", "null", None),
        ({"oneOf": [{"const": "a", "title": "First"}, {"const": "b"}]}, "choice", '"b"', "b"),
        ({"type": "boolean"}, "choice", "false", False),
        ({"type": "boolean", "default": False}, "check", "on", True),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "EUR"}}, "input", "12.5", 1250),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "EUR"}}, "input", "12,50", 1250),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "JPY"}}, "input", "1250", 1250),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "KWD"}}, "input", "1.250", 1250),
        ({"type": "object"}, "json", '{"a": [1]}', {"a": [1]}),
        ({}, "json", '"x"', "x"),
        ({"type": ["string", "integer"]}, "json", "4", 4),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "json", '["a"]', ["a"]),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "json", "4", 4),
        ({"type": "object", "patternProperties": {"^a": {"type": "string"}}}, "json", '{"a": "b"}', {"a": "b"}),
        (True, "json", "[]", []),
    ],
)  # fmt: skip
def test_a_typed_text_is_a_value_of_its_type(schema: Any, kind: str, text: str, value: Any) -> None:
    form = build_form(object_of(one=schema), typed(one=text), zone=ZoneInfo("Europe/Berlin"))
    (node,) = form.root.children
    assert (node.kind, node.errors) == (kind, [])
    assert form.payload == {"one": value}
    assert type(form.payload["one"]) is type(value)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, "9007199254740993"),
        ({"type": "integer"}, "٣"),
        ({"type": "number"}, "NaN"),
        ({"type": "number"}, "1e400"),
        ({"type": "number"}, "0x10"),
        ({"type": "string"}, "a\x00b"),
        ({"type": "string"}, "\ud800"),
        ({"type": "string", "format": "date-time"}, "tomorrow"),
        ({"type": "object"}, '{"a": 1, "a": 2}'),
        ({"type": "object"}, "{"),
        ({"type": "object"}, "[" * 5000),
        ({"enum": ["a", 1]}, "a"),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "EUR"}}, "1,234"),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "EUR"}}, "1.234,50"),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "KWD"}}, "1,234"),
        ({"type": "integer", "x-threada": {"format": "money", "currency": "JPY"}}, "1.5"),
        ({"type": "integer", "x-threada": {"format": "money", "currency": {"pointer": "/none"}}}, "1"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_value_is_said_at_its_field(schema: Any, text: str) -> None:
    form = sent(object_of(("one",), one=schema), typed(one=text))
    (node,) = form.root.children
    assert len(node.errors) == 1
    assert node.text == text
    assert not form.is_readable
    assert form.payload == {}


def test_empty_texts_are_left_out_and_required_ones_are_asked_for() -> None:
    schema = object_of(("vendor",), vendor={"type": "string"}, note={"type": "string"}, count={"type": "integer"})
    form = sent(schema, typed(vendor=" ", note="", count=""))
    assert form.payload == {}
    assert {node.pointer: node.errors for node in form.with_errors} == {"/vendor": ["Enter a value."]}


def test_required_members_that_may_be_null_are_null() -> None:
    assert build_form(object_of(("end",), end={"type": ["string", "null"]}), typed(end="")).payload == {"end": None}


def test_titles_descriptions_order_and_defaults_are_shown() -> None:
    schema = object_of(
        zone={"type": "string", "title": "Zone", "description": "Where.", "default": "north"},
        amount={"type": "integer", "default": 5},
    )
    form = build_form(schema)
    assert [(node.label, node.help, node.text) for node in form.root.children] == [
        ("Zone", "Where.", "north"),
        ("Amount", "", "5"),
    ]
    assert build_form(schema, typed(zone="", amount="")).payload == {}


def test_optional_groups_are_left_out_unless_something_is_entered() -> None:
    schema = object_of(address=object_of(("city",), city={"type": "string"}, main={"type": "boolean", "default": True}))
    schema["properties"]["address"]["properties"]["main"].pop("default")
    assert sent(schema, typed(**{"address/city": ""})).payload == {}
    form = sent(schema, typed(**{"address/city": "", "address/main": "true"}))
    assert [node.pointer for node in form.with_errors] == ["/address/city"]


def test_rows_are_added_and_removed() -> None:
    line = object_of(("sku",), sku={"type": "string"}, count={"type": "integer", "default": 1})
    schema = object_of(lines={"type": "array", "items": line, "maxItems": 3})
    entered = typed(rows=("/lines/0", "/lines/1"), **{"lines/0/sku": "a", "lines/1/sku": "b", "lines/1/count": "4"})
    assert build_form(schema, entered).payload == {"lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 4}]}
    fewer = entered.without_row("/lines/0")
    assert build_form(schema, fewer).payload == {"lines": [{"sku": "b", "count": 4}]}
    more = entered.with_row("/lines", most=3)
    assert len(build_form(schema, more).payload["lines"]) == 3
    assert more.with_row("/lines", most=3) == more
    for nothing in ("/lines/9", "/lines", "", "lines/0", "/lines/00", "/other/0"):
        assert entered.without_row(nothing) == entered
    full = build_form(schema, more)
    assert not next(node for node in full.root.walk() if node.kind == "list").may_add


def test_required_lists_begin_with_their_rows_and_scalars_need_a_value() -> None:
    schema = object_of(("tags",), tags={"type": "array", "items": {"type": "string"}, "minItems": 2})
    form = build_form(schema)
    assert [node.pointer for node in form.root.children[0].children] == ["/tags/0", "/tags/1"]
    form = sent(schema, typed(rows=("/tags/0", "/tags/1"), **{"tags/0": "", "tags/1": "b"}))
    assert [node.pointer for node in form.with_errors] == ["/tags/0"]


def test_distinct_choices_are_boxes() -> None:
    schema = object_of(tags={"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}})
    assert build_form(schema, typed(tags=('"a"', '"b"'))).payload == {"tags": ["a", "b"]}
    assert kinds(build_form(schema)) == {"/tags": "choices"}


def test_members_of_conditions_follow_the_values() -> None:
    schema = {
        **object_of(kind={"enum": ["plain", "special"]}, vendor={"type": "string"}),
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": "special"}}, "required": ["kind"]},
                "then": {
                    "properties": {"reason": {"type": "string"}, "vendor": {"maxLength": 3}},
                    "required": ["reason"],
                },
                "else": {"properties": {"note": {"$ref": "#/$defs/note"}}},
            }
        ],
        "$defs": {"note": {"type": "string", "title": "Note"}},
    }
    assert list(kinds(build_form(schema))) == ["/kind", "/vendor", "/note"]
    form = sent(schema, typed(kind='"special"', vendor="Hooli", note="lost"))
    assert list(kinds(form)) == ["/kind", "/vendor", "/reason"]
    assert form.payload == {"kind": "special", "vendor": "Hooli"}
    assert form.root.children[0].changes_form
    assert form.changes
    assert {node.pointer for node in form.with_errors} == {"/vendor", "/reason"}


def test_constants_are_part_of_the_payload_whatever_is_sent() -> None:
    schema = object_of(("version",), version={"const": 3}, vendor={"type": "string"})
    assert build_form(schema, typed(version="4", vendor="x")).payload == {"version": 3, "vendor": "x"}


def test_members_that_a_form_cannot_show_make_it_json() -> None:
    open_object = object_of(("other",), vendor={"type": "string"})
    assert kinds(build_form(object_of(data=open_object))) == {"/data": "json"}
    assert build_form(open_object).root.kind == "json"
    variants = {**object_of(vendor={"type": "string"}), "oneOf": [object_of(iban={"type": "string"}), object_of()]}
    assert build_form(variants).root.kind == "json"


def test_the_json_editor_of_the_whole_is_validated() -> None:
    schema = {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}}
    form = sent(schema, Entered({"": ('{"b": "x"}',)}))
    assert form.root.kind == "json"
    assert len(form.root.errors) == 2
    assert sent(schema, Entered({"": ('{"a": 1}',)})).payload == {"a": 1}
    assert sent(schema, Entered({"": ("",)})).payload == {}


def test_money_follows_the_chosen_currency() -> None:
    amount = {"type": "integer", "x-threada": {"format": "money", "currency": {"pointer": "/currency"}}}
    schema = object_of(amount=amount, currency={"enum": ["EUR", "JPY"], "default": "JPY"})
    assert build_form(schema, typed(amount="12.50", currency='"EUR"')).payload["amount"] == 1250
    assert not build_form(schema, typed(amount="12.50", currency='"JPY"')).is_readable
    assert build_form(schema).root.children[0].attributes["unit"] == "JPY"
    shown = build_form(schema, given={"amount": 1250, "currency": "JPY"})
    assert shown.root.children[0].text == "1250"


def test_recursive_schemas_end() -> None:
    node = {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}}}
    assert kinds(build_form(node))["/next/next"] == "json"
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
    }
    rows = ["/parts/0"]
    for _ in range(20):
        rows.append(f"{rows[-1]}/parts/0")
    form = build_form(tree, Entered({}, frozenset(rows)))
    assert "json" in kinds(form).values()
    nested: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        nested = object_of(a=nested)
    assert "json" in kinds(build_form(nested)).values()


@pytest.mark.parametrize("count", [MAX_FIELDS + 1, 10_000])
def test_schemas_with_too_many_members_are_edited_as_json(count: int) -> None:
    schema = object_of(**{f"p{number}": {"type": "string"} for number in range(count)})
    assert build_form(schema).root.kind == "json"


def test_a_schema_of_one_megabyte_and_multiplying_conditions_are_limited() -> None:
    large = object_of(**{f"p{number}": {"enum": ["x" * 100] * 1} for number in range(150)})
    large["properties"]["many"] = {"enum": [f"{number:0>1000}" for number in range(900)]}
    assert len(json.dumps(large)) > 900_000
    form = build_form(large)
    assert kinds(form)["/many"] == "input"
    wide = object_of(**{f"p{number}": {"$ref": "#/$defs/a"} for number in range(20)})
    level: dict[str, Any] = {"type": "string"}
    wide["$defs"] = {"z": level}
    for name, below in (("d", "z"), ("c", "d"), ("b", "c"), ("a", "b")):
        inner = object_of(**{f"q{number}": {"$ref": f"#/$defs/{below}"} for number in range(20)})
        wide["$defs"][name] = {**inner, "if": {"required": ["q1"]}, "then": object_of(extra={"type": "string"})}
    assert build_form(wide).root.kind == "json"


def test_hostile_labels_are_texts_and_short() -> None:
    schema = object_of(
        **{"<script>": {"type": "string", "title": "<b>" * 500, "description": "d" * 5000}, "a/b~c": {"type": "string"}}
    )
    form = build_form(schema, typed(**{"a~1b~0c": "x"}))
    first, second = form.root.children
    assert len(first.label) <= 200
    assert len(first.help) <= 2000
    assert form.payload == {"a/b~c": "x"}
    assert first.id != second.id
    assert second.value is not MISSING


_LONG = "x" * 500_000


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "string", "default": _LONG}, id="long default"),
        pytest.param({"const": _LONG}, id="long constant"),
        pytest.param({"enum": [f"{place}{'y' * 1800}" for place in range(300)]}, id="long choices"),
        pytest.param({"enum": [f"v{place}" for place in range(50_000)]}, id="many choices"),
    ],
)
def test_references_do_not_multiply_what_a_form_shows(schema: dict[str, Any]) -> None:
    """A form of 1 MB of schema would have 170 MB and take 20 seconds without a limit."""
    members = {f"a{place}": {"$ref": "#/$defs/big"} for place in range(100)}
    form = build_form({**object_of(tuple(members), **members), "$defs": {"big": schema}})
    assert form.root.kind == "json"
    assert form.errors == []


def test_many_conditions_are_not_checked_against_large_definitions() -> None:
    """A thousand conditions took minutes, because each was read together with all definitions."""
    conditions = [
        {"if": {"properties": {"a": {"$ref": f"#/$defs/big{place}"}}}, "then": {"required": ["a"]}}
        for place in range(200)
    ]
    choices = {f"big{place}": {"enum": [f"{place}-{each}" for each in range(500)]} for place in range(200)}
    form = build_form({**object_of(a={"type": "string"}), "$defs": choices, "allOf": conditions})
    assert form.root.kind == "json"


def test_conditions_without_references_are_checked_without_the_definitions() -> None:
    conditions = [
        {"if": {"properties": {"a": {"const": str(place)}}, "required": ["a"]}, "then": {"required": ["b"]}}
        for place in range(100)
    ]
    schema = object_of(a={"type": "string"}, b={"type": "string"})
    schema |= {"$defs": {"big": {"enum": [f"v{each}" for each in range(50_000)]}}, "allOf": conditions}
    assert kinds(build_form(schema)) == {"/a": "input", "/b": "input"}


def test_long_chains_of_references_are_edited_as_json() -> None:
    chain: dict[str, Any] = {f"l{place}": {"allOf": [{"$ref": f"#/$defs/l{place + 1}"}]} for place in range(3000)}
    chain["l3000"] = {"properties": {"z": {"type": "string"}}}
    schema = {**object_of(a={"type": "string"}), "$defs": chain, "allOf": [{"$ref": "#/$defs/l0"}]}
    assert payloads.check_schema(schema) == []
    assert build_form(schema).root.kind == "json"
