from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.strict import MAX_INTEGER, check_value


def load(text: str) -> Any:
    [document] = load_documents(text, source="f.yaml")
    return document.value


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(DocumentInvalid) as caught:
        load_documents(text, source="f.yaml")
    [error] = caught.value.errors
    assert error.detail == caught.value.detail
    assert error.detail.startswith(f"f.yaml:{error.line}:{error.column}: ")
    return error.pointer, error.detail.replace(f":{error.line}:{error.column}: ", f":{error.line}: ", 1)


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            *(
                (word, word)
                for word in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "2026-01-31", "1:30", "1_000")
            ),
            *(
                (word, word)
                for word in ("0b1", "1e", "e1", "+", "-", ".", "...x", "0x", "tRUE", "nulL", "1.2.3", "+-1")
            ),
            *((word, None) for word in ("null", "Null", "NULL", "~")),
            *((word, True) for word in ("true", "True", "TRUE")),
            *((word, False) for word in ("false", "False", "FALSE")),
            ("017", 17),
            ("0o17", 15),
            ("0x1F", 31),
            ("-5", -5),
            ("+5", 5),
            (str(MAX_INTEGER), MAX_INTEGER),
            ("1e3", 1000.0),
            ("1.", 1.0),
            ("-.5", -0.5),
            ("1.5E-3", 0.0015),
            ("'1'", "1"),
            ('"true"', "true"),
            ("'it''s'", "it's"),
        ],
    )
    def test_scalars_are_read_as_yaml_1_2(self, text: str, value: Any) -> None:
        [found] = load(f"[{text}]")
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        "text", ["9007199254740992", "-9007199254740992", "0xFFFFFFFFFFFFFF", "9" * 5000, "1e20", "1e300"]
    )
    def test_integers_beyond_2_53_are_refused(self, text: str) -> None:
        assert refusal(f"a:\n  - {text}") == (
            "/a/0",
            "f.yaml:2: An integer lies beyond ±(2^53 - 1). Send it as a string.",
        )

    @pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", ".NaN", "1e400", "-1e130000"])
    def test_numbers_that_are_not_finite_are_refused(self, text: str) -> None:
        assert refusal(text) == ("", "f.yaml:1: A number is not a finite double. Send it as a string.")


class TestStrings:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (r'"\ud83d\ude00"', "\U0001f600"),
            (r'"\uD83D\uDE00 and \ud83d\udE01"', "\U0001f600 and \U0001f601"),
            (r'"\\ud83d"', r"\ud83d"),
            (r'"\\\ud83d\ude00"', "\\\U0001f600"),
            (r"'\ud83d\ude00'", r"\ud83d\ude00"),
            (r"C:\ud83d\ude00", r"C:\ud83d\ude00"),
            ('|\n  \\ud83d\\ude00 "\\ud83d\\ude00"\n', '\\ud83d\\ude00 "\\ud83d\\ude00"\n'),
            ('"a \u2028 b \u2029 c \x85 d"', "a \u2028 b \u2029 c \x85 d"),
            ("a \u2028 b \x85 c", "a \u2028 b \x85 c"),
            ("|\n  a \u2028 b\n", "a \u2028 b\n"),
            ('"\x7f\x80\x9f\ufeff\ufffe\uffff"', "\x7f\x80\x9f\ufeff\ufffe\uffff"),
            ('"\ue000\u2028\ue001"', "\ue000\u2028\ue001"),
            ('"\U0001f600"', "\U0001f600"),
            (r'"\/\b\f\n\r\t\"\u00e9\\"', '/\b\f\n\r\t"é\\'),
            ("\ufeffa", "a"),
        ],
    )
    def test_strings_keep_every_character(self, text: str, value: str) -> None:
        assert load(text) == value

    def test_keys_keep_every_character(self) -> None:
        assert load(r'{"\ud83d\ude00": 1, "\u2028": 2}') == {"\U0001f600": 1, "\u2028": 2}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (r'"\ud83d"', "A lone surrogate or an escape beyond U+10FFFF is no Unicode text. Remove it."),
            (r'"\ude00\ud83d"', "A lone surrogate or an escape beyond U+10FFFF is no Unicode text. Remove it."),
            (r'"\\ud83d\ude00"', "A lone surrogate or an escape beyond U+10FFFF is no Unicode text. Remove it."),
            ('"\ud83d"', "A lone surrogate is no Unicode text."),
            (r'"a\u0000"', "A string holds U+0000, which cannot be stored. Remove it."),
            (r'"a\0"', "A string holds U+0000, which cannot be stored. Remove it."),
            ('"a\x00"', "The character U+0000 is not allowed."),
            ('"a\x07"', "The character U+0007 is not allowed."),
        ],
    )
    def test_strings_that_are_not_text_are_refused(self, text: str, reason: str) -> None:
        assert refusal(f"a: 1\nb: {text}")[1] == f"f.yaml:2: {reason}"


class TestStructure:
    def test_stream_of_documents(self) -> None:
        documents = load_documents("kind: A\n---\n---\n# nothing\n---\nkind: B\n...\n---\nnull\n", source="f.yaml")
        assert [document.value for document in documents] == [{"kind": "A"}, {"kind": "B"}, None]
        assert {document.source for document in documents} == {"f.yaml"}

    @pytest.mark.parametrize("text", ["", "\n", "# nothing", "---\n---\n", "\ufeff"])
    def test_empty_text_is_no_document(self, text: str) -> None:
        assert load_documents(text, source="f.yaml") == []

    def test_json_with_tabs_and_crlf(self) -> None:
        assert load('{\r\n\t"a": [1,2.5,\t{"b":null}],\r\n\t"c":true}\r\n') == {"a": [1, 2.5, {"b": None}], "c": True}

    @pytest.mark.parametrize(
        ("text", "pointer", "detail"),
        [
            ("a: 1\nb:\n  - c: 1\n    c: 2", "/b/0", "f.yaml:4: The key 'c' occurs twice in one object."),
            ('{"a": 1, "a": 1}', "", "f.yaml:1: The key 'a' occurs twice in one object."),
            ("a: 1\n2: b", "", "f.yaml:2: A key must be a string. Quote it."),
            ("null: b", "", "f.yaml:1: A key must be a string. Quote it."),
            ("? [a]\n: b", "", "f.yaml:1: A key must be a string."),
            ("a: {? {b: c} : d}", "/a", "f.yaml:1: A key must be a string."),
            ("a: &x 1\nb: *x", "/b", "f.yaml:2: Aliases are not read. Write the value out."),
            ("a:\n  <<: {b: 1}", "/a", "f.yaml:2: Merge keys are not read. Write the members out."),
            ("a: !!str 5", "/a", "f.yaml:1: Tags are not read. Quote text, and leave the tag out."),
            ("- ! 5", "/0", "f.yaml:1: Tags are not read. Quote text, and leave the tag out."),
            ("- !!python/object/apply:os.system [x]", "/0", "f.yaml:1: Tags are not read. Leave it out."),
            ('{"%s": 1}' % ("k" * 1025), "", "f.yaml:1: A key has more than 1,024 characters. Shorten it."),
            ("a:\n\t- b", "/a", "f.yaml:2: A tab indents this line. YAML allows only spaces there."),
            ('{"a": 1} {"b": 2}', "", "f.yaml:1: It is neither YAML nor JSON: did not find expected <document start>"),
            ("a: 1\nb: c: d", "", "f.yaml:2: A colon with a blank is not allowed here. Quote text that contains one."),
            ("a: 'b", "/a", "f.yaml:1: A quotation mark is not closed. Close it."),
        ],
    )
    def test_error_names_file_line_and_position(self, text: str, pointer: str, detail: str) -> None:
        found = refusal(text)
        assert found[0] == pointer
        assert found[1].startswith(detail)

    def test_alias_bomb_is_refused(self) -> None:
        bomb = "a: &a [x, x]\n" + "".join(
            f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        assert refusal(bomb) == ("/b/0", "f.yaml:2: Aliases are not read. Write the value out.")

    @pytest.mark.parametrize("opening", ["[", '{"a":', "- ", "{a: ["])
    def test_deep_nesting_is_refused_early(self, opening: str) -> None:
        started = time.thread_time()
        with pytest.raises(DocumentInvalid):
            load_documents(opening * 100_000, source="f.yaml")
        assert time.thread_time() - started < 1

    def test_64_levels_are_read(self) -> None:
        assert load("[" * 64 + "]" * 64)
        assert refusal("[" * 65 + "]" * 65)[1] == "f.yaml:1: It is nested deeper than 64 levels. Flatten it."


class TestLines:
    TEXT = """\
# a comment
kind: Policy
spec:
  rules:
    - id: a
      when: >
        item.a
    - {id: b, a/b: {x~y: 1}}
---
[1,
 {"c": 2}]
"""

    @pytest.mark.parametrize(
        ("index", "pointer", "line"),
        [
            (0, "", 2),
            (0, "/kind", 2),
            (0, "/spec", 3),
            (0, "/spec/rules/0", 5),
            (0, "/spec/rules/0/when", 6),
            (0, "/spec/rules/1/a~1b/x~0y", 8),
            (0, "/spec/rules/1/missing/further", 8),
            (0, "/spec/rules/9", 4),
            (0, "/nothing/at/all", 2),
            (0, "no pointer", 2),
            (1, "", 10),
            (1, "/0", 10),
            (1, "/1/c", 11),
        ],
    )
    def test_lines_of_pointers(self, index: int, pointer: str, line: int) -> None:
        assert load_documents(self.TEXT, source="f.yaml")[index].place_of(pointer).line == line

    @pytest.mark.parametrize(
        ("index", "pointer", "column"),
        [
            (0, "/kind", 1),
            (0, "/spec/rules", 3),
            (0, "/spec/rules/0", 7),
            (0, "/spec/rules/1/a~1b/x~0y", 21),
            (1, "/1/c", 3),
        ],
    )
    def test_lines_of_pointers_within_a_line(self, index: int, pointer: str, column: int) -> None:
        assert load_documents(self.TEXT, source="f.yaml")[index].place_of(pointer).column == column


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
keys = texts.filter(lambda key: len(json.dumps(key)) <= 1024)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) <= MAX_INTEGER)
    | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4),
    max_leaves=20,
)


@given(value=values, is_ascii=st.booleans(), indent=st.sampled_from([None, 1, "\t"]))
def test_json_is_read_unchanged(value: Any, is_ascii: bool, indent: Any) -> None:
    found = load(json.dumps(value, ensure_ascii=is_ascii, indent=indent))
    assert json.dumps(found) == json.dumps(value)
    check_value(found)


@given(text=st.text(max_size=200) | st.text(alphabet="-:?[]{}&*!|>'\"\\#%@`~<,\n\t ab01.ud83de\u2028\x85", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        documents = load_documents(text, source="f.yaml")
    except DocumentInvalid:
        return
    for document in documents:
        check_value(document.value)
        assert min(document.place_of("/a/0")) >= 1


@pytest.mark.parametrize("is_json", [True, False])
def test_megabytes_are_read_in_a_second_or_two(is_json: bool) -> None:
    rows = [{"id": number, "name": f"vendor {number} \U0001f600", "ok": True, "rate": 1.5} for number in range(50_000)]
    text = (
        json.dumps(rows)
        if is_json
        else "".join(f"- id: {row['id']}\n  name: {row['name']}\n  ok: true\n  rate: 1.5\n" for row in rows)
    )
    assert len(text) > 2_500_000
    started = time.thread_time()
    [document] = load_documents(text, source="f.yaml")
    assert time.thread_time() - started < 4
    assert document.value == rows
    assert document.place_of("/49999/rate").line == (1 if is_json else 200_000)
