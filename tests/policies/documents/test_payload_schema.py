from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.documents.payload_schema import MAX_ERRORS, check_schema, payload_schema, validate
from tests.policies.documents.webhook_schema import webhook_payload, webhook_schema
from threada_site.kernel.errors import DocumentInvalid

PAYMENT = {
    "type": "object",
    "required": ["vendor", "amount_minor"],
    "properties": {"vendor": {"type": "string"}, "amount_minor": {"type": "integer"}},
    "additionalProperties": False,
}


def named(schema: Any, payload: Any, **more: Any) -> list[tuple[str, str, str]]:
    return [
        (field_error.pointer, field_error.code, field_error.detail) for field_error in validate(schema, payload, **more)
    ]


def test_a_valid_payload_has_no_errors() -> None:
    assert check_schema(PAYMENT) == []
    assert validate(PAYMENT, {"vendor": "Initech", "amount_minor": 1250}) == []


def test_every_invalid_field_has_a_pointer() -> None:
    assert named(PAYMENT, {"amount_minor": "12.50", "a/b~c": 1, "iban": "DE89"}) == [
        ("/payload/vendor", "required", "This property is required."),
        ("/payload/amount_minor", "type", 'The value is not of type "integer"'),
        ("/payload/a~1b~0c", "additionalProperties", "This property is not allowed."),
        ("/payload/iban", "additionalProperties", "This property is not allowed."),
    ]


def test_pointers_start_with_the_given_prefix() -> None:
    nested = {"properties": {"lines": {"items": {"required": ["sku"]}}}}
    assert [field_error.pointer for field_error in validate(nested, {"lines": [{"sku": 1}, {}]}, pointer="")] == [
        "/lines/1/sku"
    ]
    assert named(PAYMENT, [])[0][0] == "/payload"


@pytest.mark.parametrize(
    ("schema", "payload", "field_error"),
    [
        ({"enum": [1, 2]}, 3, ("/payload", "enum", "The value is not one of 1 or 2")),
        ({"minLength": 3}, "ab", ("/payload", "minLength", "The value is shorter than 3 characters")),
        ({"pattern": "^x+$"}, "y", ("/payload", "pattern", 'The value does not match "^x+$"')),
        ({"maximum": 5}, 6, ("/payload", "maximum", "The value is greater than the maximum of 5")),
        ({"not": {"type": "string"}}, "a", ("/payload", "not", "The value matches `not`.")),
        ({"contains": {"const": 1}}, [2], ("/payload", "contains", "No item matches `contains`.")),
        ({"properties": {"a": False}}, {"a": 1}, ("/payload/a", "false_schema", "No value is allowed here.")),
        (
            {"additionalProperties": False},
            {"a": 1},
            ("/payload", "additionalProperties", "This object allows no properties."),
        ),
        (
            {"propertyNames": {"maxLength": 1}},
            {"ab": 1},
            ("/payload", "propertyNames", '"ab" is longer than 1 character'),
        ),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, ("/payload/b", "required", "This property is required.")),
        (
            {"properties": {"a": {}}, "unevaluatedProperties": False},
            {"a": 1, "b": 2},
            ("/payload/b", "unevaluatedProperties", "This property is not allowed."),
        ),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"a": 1},
            ("/payload/b", "required", "This property is required."),
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["iban"]}]},
            {},
            ("/payload/iban", "required", "This property is required."),
        ),
        (
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            {},
            ("/payload", "oneOf", "The value is not valid under any of the schemas listed in the 'oneOf' keyword"),
        ),
    ],
)
def test_each_keyword_has_pointer_code_and_detail(schema: Any, payload: Any, field_error: tuple[str, str, str]) -> None:
    assert check_schema(schema) == []
    assert named(schema, payload) == [field_error]


def test_messages_never_contain_values() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"anyOf": [{"maxLength": 1}, {"const": 1}]},
            "c": {"uniqueItems": True},
            "d": {"format": "email", "pattern": "^$", "not": {"type": "string"}},
        }
    }
    payload = {"a": "canary", "b": "canary", "c": ["canary", "canary"], "d": "canary"}
    field_errors = validate(schema, payload, assert_format=True)
    assert {field_error.pointer for field_error in field_errors} == {
        "/payload/a",
        "/payload/b",
        "/payload/c",
        "/payload/d",
    }
    assert not any("canary" in field_error.detail for field_error in field_errors)


def test_format_is_an_annotation_unless_asserted() -> None:
    for draft in (
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema#",
    ):
        schema = {"$schema": draft, "format": "date"}
        assert validate(schema, "someday") == []
        assert named(schema, "someday", assert_format=True) == [("/payload", "format", 'The value is not a "date"')]


def test_at_most_fifty_errors_are_returned() -> None:
    schema = {"items": {"type": "integer"}}
    assert [field_error.pointer for field_error in validate(schema, ["x"] * 500)] == [
        f"/payload/{index}" for index in range(MAX_ERRORS)
    ]
    assert len(validate({"properties": {}, "additionalProperties": False}, {f"k{i}": 1 for i in range(500)})) == 50


def test_equal_schemas_are_compiled_once() -> None:
    turned = dict(reversed(PAYMENT.items()))
    assert payload_schema(turned) is payload_schema(PAYMENT)
    assert payload_schema(PAYMENT, assert_format=True) is not payload_schema(PAYMENT)


@pytest.mark.parametrize(
    ("schema", "pointer", "code"),
    [
        (None, "", "type"),
        (True, "", "type"),
        ([], "", "type"),
        ({"type": "strin"}, "/type", "anyOf"),
        ({"required": "vendor"}, "/required", "type"),
        ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength", "minimum"),
        ({"properties": {"a": 3}}, "/properties/a", "type"),
        ({"properties": {"a/b": {"pattern": "("}}}, "/properties/a~1b/pattern", "format"),
        ({"pattern": "(?=a)b"}, "/pattern", "format"),
        ({"pattern": r"(a)\1"}, "/pattern", "format"),
        ({"pattern": "((a{1,1000}){1,1000}){1,1000}"}, "/pattern", "format"),
        ({"patternProperties": {"(": {}}}, "/patternProperties/(", "format"),
        ({"$schema": "http://example.com/schema"}, "/$schema", "draft"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/$schema", "draft"),
        ({"$ref": "#"}, "", "endless_reference"),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "/$defs/a", "endless_reference"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "/properties/a/$ref", "reference_not_found"),
        ({"properties": {"a": {"$ref": "#/properties/a/enum/7"}}}, "/properties/a/$ref", "reference_not_found"),
        ({"$ref": "#name"}, "/$ref", "reference_not_local"),
        ({"$ref": "other.json"}, "/$ref", "reference_not_local"),
        ({"items": {"not": {"$ref": "file:///etc/passwd"}}}, "/items/not/$ref", "reference_not_local"),
        ({"$defs": {"a": {"$anchor": "a"}}}, "/$defs/a/$anchor", "invalid"),
        ({"$dynamicRef": "#a"}, "/$dynamicRef", "invalid"),
        ({"$defs": {"a": {"$id": "https://example.com/a"}}}, "/$defs/a/$id", "invalid"),
        ({"const": float("nan")}, "", "json_not_interoperable"),
        ({"const": 2**60}, "", "json_not_interoperable"),
        ({"description": "x" * 1_100_000}, "", "too_large"),
        ({"properties": {f"p{index}": {} for index in range(25_000)}}, "", "too_large"),
    ],
)
def test_an_invalid_schema_is_reported_with_its_pointer(schema: Any, pointer: str, code: str) -> None:
    assert [(field_error.pointer, field_error.code) for field_error in check_schema(schema)] == [(pointer, code)]
    assert check_schema(schema, pointer="/spec/payload_schema")[0].pointer == "/spec/payload_schema" + pointer
    with pytest.raises(DocumentInvalid) as refusal:
        payload_schema(schema)
    assert [(field_error.pointer, field_error.code) for field_error in refusal.value.errors] == [(pointer, code)]


def test_all_errors_of_a_schema_are_reported_at_once() -> None:
    schema = {"type": 3, "properties": {"a": {"minLength": -1}, "b": {"required": 1}}}
    assert {field_error.pointer for field_error in check_schema(schema)} == {
        "/type",
        "/properties/a/minLength",
        "/properties/b/required",
    }


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        for schema in ({"$ref": address}, {"$schema": address}, {"$id": address, "$ref": "other.json"}):
            assert check_schema(schema) != []
        assert check_schema({"$id": address, "type": "object"}) == []
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"children": {"items": {"$ref": "#"}}}},
        {"$defs": {"a b": {"type": "object"}}, "$ref": "#/$defs/a%20b"},
        {"$id": "https://example.com/payment", "$defs": {"a": {}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
        {"properties": {"a": {"type": "string"}, "b": {"$ref": "#/properties/a"}}},
        {"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "elsewhere"}, "enum": [{"$ref": "x"}]},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {"type": "string"}},
            "items": [{"$ref": "#/definitions/a"}],
            "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
        },
        {},
    ],
)
def test_common_schemas_are_accepted(schema: Any) -> None:
    assert check_schema(schema) == []
    payload_schema(schema)


def test_references_that_multiply_are_refused_or_bounded_in_depth() -> None:
    doubling: dict[str, Any] = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    wide = {"$defs": doubling | {"a40": {}}, "$ref": "#/$defs/a0"}
    started = time.process_time()
    assert [field_error.code for field_error in check_schema(wide)] == ["too_large"]

    both = {"allOf": [{"properties": {"x": {"$ref": "#/$defs/a"}}}, {"properties": {"x": {"$ref": "#/$defs/a"}}}]}
    assert [field_error.code for field_error in check_schema({"$defs": {"a": both}, "$ref": "#/$defs/a"})] == [
        "too_large"
    ]

    condition = {
        "anyOf": [
            {"type": "string"},
            {"properties": {"not": {"$ref": "#"}}},
            {"properties": {"or": {"items": {"$ref": "#"}}}},
        ]
    }
    value: Any = "x"
    for _ in range(60):
        value = {"not": value}
    assert check_schema(condition) == []
    assert [field_error.code for field_error in validate(condition, value)] == ["too_deep"]
    assert validate(condition, {"or": ["a", {"not": "b"}]}) == []
    assert time.process_time() - started < 1


def test_a_large_invalid_payload_has_bounded_cost() -> None:
    strings = {"properties": {"a": {"items": {"anyOf": [{"type": "string"}] * 20}}}}
    payload = {"a": [1] * 127_000}
    for schema in (strings, {"anyOf": [strings, strings]}, {"properties": {"a": {"items": {"type": "string"}}}}):
        payload_schema(schema)
        tracemalloc.start()
        started = time.process_time()
        field_errors = validate(schema, payload)
        seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(field_errors) == 1
        assert seconds < 1
        assert peak < 20_000_000


def test_a_large_schema_is_accepted_and_compiled_once() -> None:
    schema = webhook_schema(events=210, definitions=130, fields=31)
    assert len(json.dumps(schema)) > 630_000
    assert check_schema(schema) == []
    compiled = payload_schema(schema)
    assert payload_schema(schema) is compiled
    assert payload_schema(json.loads(json.dumps(schema))) is compiled
    payload = webhook_payload(7, definitions=130, fields=31)
    assert validate(schema, payload) == []
    assert validate(schema, {**payload, "event": "none"}) != []
    started = time.process_time()
    for _ in range(100):
        assert validate(schema, payload) == []
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"items": {"enum": [{"a": number} for number in range(10_000)]}}, [{"a": 9_999}] * 20_000),
        ({"items": {"enum": [*range(5_000), *map(str, range(5_000))]}}, ["4999"] * 20_000),
        ({"items": {"anyOf": [{"properties": {"a": {"const": n}}} for n in range(400)]}}, [{"a": 999}] * 30_000),
        ({"items": {"contains": {"anyOf": [{"const": n} for n in range(400)]}}}, [[-1] * 100] * 1_000),
        (
            {
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(7)} | {"d7": {}},
                "items": {"$ref": "#/$defs/d0"},
            },
            list(range(100_000)),
        ),
    ],
    ids=["objects", "mixed", "alternatives", "contains", "references"],
)
def test_a_payload_that_would_take_too_long_is_refused_before_it_is_checked(schema: Any, payload: Any) -> None:
    payload_schema(schema)
    started = time.process_time()
    (error,) = validate(schema, payload)
    assert time.process_time() - started < 1
    assert (error.pointer, error.code) == ("/payload", "too_large")
    assert "evaluations of its schema" in error.detail


@pytest.mark.parametrize(
    "items",
    [list(range(130_000)), [{"a": number} for number in range(30_000)], [[1] * 20 + [n] for n in range(5_000)]],
    ids=["numbers", "objects", "lists"],
)
def test_unique_items_are_checked_in_linear_time(items: list[Any]) -> None:
    """The engine uses hashes: pairs would be billions of comparisons."""
    started = time.process_time()
    assert validate({"uniqueItems": True}, items) == []
    assert named({"uniqueItems": True}, [*items, items[0]])[0][1] in ("uniqueItems", "too_large")
    assert time.process_time() - started < 2


def test_compiled_schemas_are_kept_within_a_bound() -> None:
    from policies.documents import payload_schema as module

    for number in range(12):
        payload_schema({"description": "x" * 500_000, "title": str(number)})
    assert module._by_text.weight <= module._MOST_KEPT
    assert module._by_identity.weight <= module._MOST_KEPT
    assert len(module._by_text._entries) < 12


@pytest.mark.parametrize("pattern", ["^[ab]*a[ab]{2000}$", r"^\w{1,500}$", "^(a{1,100}b?){1,100}$"])
def test_patterns_that_are_slow_on_long_texts_are_refused(pattern: str) -> None:
    assert [entry.pointer for entry in check_schema({"pattern": pattern})] == ["/pattern"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
        r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,63}$",
        "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^\w{1,64}$",
        "^[a-z0-9-]{1,255}$",
        "^[0-9a-f]{128}$",
    ],
)
def test_common_patterns_are_accepted(pattern: str) -> None:
    assert check_schema({"pattern": pattern}) == []


def test_deep_payloads_of_recursive_schemas_do_not_crash() -> None:
    schema = {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
    value: Any = {}
    for _ in range(63):
        value = {"a": value}
    assert validate(schema, value) == []


def test_validators_are_thread_safe() -> None:
    results: list[int] = []

    def check() -> None:
        results.extend(len(validate(PAYMENT, {"vendor": index})) for index in range(200))

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2] * 800


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values, json_values)
def test_arbitrary_documents_and_values_do_not_crash(document: Any, value: Any) -> None:
    if not check_schema(document):
        assert all(field_error.pointer.startswith("/payload") for field_error in validate(document, value))
    assert validate(PAYMENT, value) != []


SLOW_PATTERN = "[ab]*a[ab]{300}c"


def test_texts_that_many_large_patterns_would_match_for_long_are_refused() -> None:
    """40 such patterns take 80 µs for each character, and the engine cannot be interrupted."""
    slow = {"properties": {"text": {"allOf": [{"not": {"pattern": SLOW_PATTERN}}] * 40}}}
    assert check_schema(slow) == []
    began = time.thread_time()
    assert [entry.code for entry in validate(slow, {"text": "ab" * 50_000})] == ["too_large"]
    assert [entry.code for entry in validate(slow, {"other": {"ab" * 50_000: 1}})] == ["too_large"]
    assert time.thread_time() - began < 1
    assert validate(slow, {"text": "ab" * 100}) == []


@pytest.mark.parametrize(
    "slow",
    [
        {"patternProperties": {f"{SLOW_PATTERN}{number}": {} for number in range(40)}},
        {"additionalProperties": {"anyOf": [{"pattern": SLOW_PATTERN}] * 40}},
        {"propertyNames": {"oneOf": [{"pattern": SLOW_PATTERN}] * 40}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"allOf": [{"pattern": SLOW_PATTERN}] * 40}}}},
    ],
)
def test_patterns_count_wherever_they_are(slow: dict[str, Any]) -> None:
    payload = ["ab" * 50_000] if "$ref" in slow else {"ab" * 50_000: "ab"}
    assert [entry.code for entry in validate(slow, payload)] == ["too_large"]


@pytest.mark.parametrize(
    "pattern",
    ["^[0-9a-f]{40}$", r"^\w+$", "^https?://", r"^[^@]+@[^@]+\.[a-z]+$", r"^\d{4}-\d{2}-\d{2}$", "^[a-z]{1,200}$"],
)
def test_ordinary_patterns_limit_no_payload(pattern: str) -> None:
    schema = {"properties": {"text": {"not": {"pattern": pattern}}}}
    assert validate(schema, {"text": "-" * 250_000}) == []


def test_many_large_patterns_are_refused_before_they_fill_memory() -> None:
    large = {"allOf": [{"pattern": f"{SLOW_PATTERN}{number}"} for number in range(5_000)]}
    began = time.thread_time()
    assert [entry.code for entry in check_schema(large)] == ["too_large"]
    assert time.thread_time() - began < 5
    assert check_schema({"properties": {f"p{number}": {"pattern": f"^a{number}+$"} for number in range(2_000)}}) == []


DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("top", "nested", "is_accepted"),
    [
        (DRAFT_7, DRAFT_7, True),
        (DRAFT_7, DRAFT_7[:-1], True),
        (None, DRAFT_2020, True),
        (None, DRAFT_7, True),
        (DRAFT_2020, DRAFT_7, False),
        (None, "urn:own", False),
        (DRAFT_7, "urn:own", False),
    ],
)
def test_a_nested_draft_is_ignored_if_it_is_that_of_the_whole_schema(
    top: str | None, nested: str, is_accepted: bool
) -> None:
    inner = {"$schema": nested, "type": "array", "contains": {"const": 1}, "minContains": 2}
    schema = {**({"$schema": top} if top else {}), "properties": {"a": inner}}
    found = check_schema(schema)
    assert [(error.pointer, error.code) for error in found] == (
        [] if is_accepted else [("/properties/a/$schema", "draft")]
    )
    if is_accepted:  # `minContains` is a keyword of 2019-09 and later
        assert bool(validate(schema, {"a": [1]})) == (top is None)
