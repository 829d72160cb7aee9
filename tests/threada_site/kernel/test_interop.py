from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.kernel.errors import JsonNotInteroperable, MalformedJson
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.strict import MAX_DEPTH, MAX_INTEGER, check_strings, check_value, parse_json


class TestParse:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            (b"{}", {}),
            (b' [1, -2, 2.5, 1e3, true, false, null, "x"]\n', [1, -2, 2.5, 1000.0, True, False, None, "x"]),
            (b'"\\ud83d\\ude00"', "\U0001f600"),
            ('"\U0001f600\u2028\x7f"'.encode(), "\U0001f600\u2028\x7f"),
            (str(MAX_INTEGER).encode(), MAX_INTEGER),
            (str(-MAX_INTEGER).encode(), -MAX_INTEGER),
            (b"5e-324", 5e-324),
            (b"1e-400", 0.0),
            (b"9007199254740991.0", 9007199254740991.0),
            (b'{"a": {"a": [{"a": 1}, {"a": 1}]}}', {"a": {"a": [{"a": 1}, {"a": 1}]}}),
            (b'"[[[[ \\" {{{{"', '[[[[ " {{{{'),
            (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
            (b'{"\\u0061": 1}', {"a": 1}),
            (b'"\\\\u0000"', "\\u0000"),
        ],
    )
    def test_reads_i_json(self, raw: bytes, value: Any) -> None:
        found = parse_json(raw)
        if value is not None:
            assert found == value
        check_value(found)
        canonical_bytes(found)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" ",
            b"{",
            b"[1,]",
            b"{'a': 1}",
            b'{"a": 1,}',
            b'{"a" 1}',
            b"nul",
            b"01",
            b"1.",
            b".5",
            b"+1",
            b"0x10",
            b"1 2",
            b'{"a": 1} {"b": 2}',
            b'"a\nb"',
            b'"a\tb"',
            b'"a',
            b'"\\x41"',
            b'"\\ud83"',
            b"// no",
            b"\xff",
            b'"\xed\xa0\x80"',
            b'"\xc0\x80"',
            '"\U0001f600"'.encode("utf-16"),
            b"\xef\xbb\xbf{}",
            b"[1}",
            b"]",
        ],
    )
    def test_malformed_json_is_refused(self, raw: bytes) -> None:
        with pytest.raises(MalformedJson):
            parse_json(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            b"NaN",
            b"[Infinity]",
            b'{"a": -Infinity}',
            b"1e400",
            b"-1e400",
            b"1e130000",
            b"9" * 400 + b".0",
            b"1e20",
            b"1e21",
            b"-1.7976931348623157e308",
            b"-9007199254740992.0",
            str(MAX_INTEGER + 1).encode(),
            str(-MAX_INTEGER - 1).encode(),
            b"9" * 5000,
            b"-" + b"9" * 5000,
            b'{"a": 1, "a": 1}',
            b'[{"x": {"a": 1, "b": 2, "\\u0061": 3}}]',
            b'"\\u0000"',
            b'{"\\u0000": 1}',
            b'"\\ud83d"',
            b'"\\ude00\\ud83d"',
            b'{"\\ud83d": 1}',
            b'["\\ud83dx\\ude00"]',
            b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
            b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        ],
    )
    def test_ambiguous_json_is_refused(self, raw: bytes) -> None:
        with pytest.raises(JsonNotInteroperable):
            parse_json(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
            b"9" * 5_000_000,
            b"1" + b"0" * 1_000_000 + b".5",
            b"1e" + b"9" * 1_000_000,
            b'"' + b"\\" * 2_000_001,
            b"[" * 65 + b'"' + b"\\u005b" * 300_000,
            b'{"' + b"a" * 2_000_000 + b'": 1, "' + b"a" * 2_000_000 + b'": 1}',
        ],
    )
    def test_hostile_bytes_are_refused_quickly(self, raw: bytes) -> None:
        tracemalloc.start()
        started = time.thread_time()
        try:
            with pytest.raises((MalformedJson, JsonNotInteroperable)) as caught:
                parse_json(raw)
            assert time.thread_time() - started < 3
            assert tracemalloc.get_traced_memory()[1] < 16 * len(raw) + 1_000_000
        finally:
            tracemalloc.stop()
        assert len(caught.value.detail) < 300


class TestCheck:
    @pytest.mark.parametrize(
        "value",
        [
            float("nan"),
            float("inf"),
            [float("-inf")],
            MAX_INTEGER + 1,
            1e20,
            1e300,
            {"a": -MAX_INTEGER - 1},
            {1: 2},
            {None: 2},
            (1, 2),
            {"a": b"x"},
            object(),
            "\x00",
            {"\x00": 1},
            ["\ud800"],
        ],
    )
    def test_value_without_unique_json_form_is_refused(self, value: Any) -> None:
        with pytest.raises(JsonNotInteroperable):
            check_value(value)

    def test_deep_value_is_refused(self) -> None:
        value: Any = 1
        for _ in range(MAX_DEPTH):
            value = [value]
        check_value(value[0])
        with pytest.raises(JsonNotInteroperable):
            check_value([[value]])

    def test_check_of_a_single_string(self) -> None:
        check_strings({"a": ["b", 1, None]})
        with pytest.raises(JsonNotInteroperable):
            check_strings([{"a": {"\udfff": 1}}])


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) <= MAX_INTEGER)
    | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=20,
)


@given(value=values, is_ascii=st.booleans())
def test_i_json_is_read_back_unchanged(value: Any, is_ascii: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=is_ascii).encode()) == value
    check_value(value)
    assert json.loads(canonical_bytes(value)) == value


@settings(max_examples=examples(300))
@given(raw=st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0d8e19.-+eE NaInfinty', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except (MalformedJson, JsonNotInteroperable):
        return
    check_value(value)
    canonical_bytes(value)
