"""Large bodies are read by another parser, which reads and refuses the same as that of small ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.kernel.errors import JsonNotInteroperable, MalformedJson
from threada_site.kernel.json import strict
from threada_site.kernel.json.strict import LARGE, MAX_DEPTH, parse_json

SCALARS = st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats() | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)
NUMBERS = "1 -0 1.0 1e3 1E400 9007199254740992 -9007199254740992.5 1234567890123456789012 0.1234567890123456789 NaN"
STRINGS = ('"a"', '"\\""', '"\\\\"', '"\\u0000"', '"\\ud800"', '{"a":')
PIECES = st.sampled_from([*'{}[]:,"\\ ', *STRINGS, *NUMBERS.split(), "true"])


def outcome(raw: bytes, *, is_large: bool) -> Any:
    """Return the value as JSON, which tells 1 from 1.0 and 0.0 from -0.0, or the kind of refusal."""
    try:
        value = parse_json(raw + b" " * (LARGE if is_large else 0))
    except (MalformedJson, JsonNotInteroperable):
        return "refused"
    return json.dumps(value)


@given(VALUES, st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_values_are_read_alike(value: Any, is_ascii: bool) -> None:
    raw = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    assert outcome(raw, is_large=True) == outcome(raw, is_large=False)


@given(st.lists(PIECES, max_size=12).map("".join))
@example('{"a":1,"a":2}')
@example('[{"a":1},{"a":{"b":1,"b":2}}]')
@example('{"\\"":1,"\\"":2}')
@example('{"a\\\\":1,"b":":"}')
@example("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
@example("[" * MAX_DEPTH + "]" * MAX_DEPTH)
@example("[" + "[]," * 100 + "[]]")
@example('"' + "[" * 100 + '"')
@example("9007199254740993.0")
@example("1e16")
@example("5e-324")
@example("1e-400")
@example("-0")
@settings(max_examples=examples(500), deadline=None)
def test_texts_are_read_or_refused_alike(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert outcome(raw, is_large=True) == outcome(raw, is_large=False)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ('{"a": 1, "a": 2}', JsonNotInteroperable, "twice"),
        ("[" * 65 + "]" * 65, JsonNotInteroperable, "nested deeper"),
        ("[" * 2000 + "]" * 2000, JsonNotInteroperable, "nested deeper"),
        ('"\\ud800"', JsonNotInteroperable, "surrogate"),
        ('"\\u0000"', JsonNotInteroperable, "cannot be stored"),
        ("1e400", JsonNotInteroperable, "finite"),
        ("12345678901234567890123", JsonNotInteroperable, "beyond"),
        ("[1,]", MalformedJson, "line 1"),
    ],
)
def test_refusals_say_why(text: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        parse_json(text.encode() + b" " * LARGE)


def test_small_bodies_keep_their_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.large, "parse", lambda *_, **__: "large")
    assert parse_json(b"1" + b" " * (LARGE - 1)) == 1
    assert parse_json(b"1" + b" " * LARGE) == "large"
