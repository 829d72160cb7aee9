"""The grammar of searches and the words of texts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel import errors, ids
from workitems.search.query import as_tsqueries, parse_search
from workitems.search.words import MOST_WORDS, document, texts_in, words_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("INV-2026-0008", ["inv", "2026", "0008"]),
        ("Müller & Söhne", ["muller", "sohne"]),
        ("Straße", ["strasse"]),
        ("a_b.c/d", ["a", "b", "c", "d"]),
        ("x" * 100, ["x" * 64]),
        ("'; DROP TABLE x --", ["drop", "table", "x"]),
        ("東京", ["東京"]),
        ("!!! ' \" \\", []),
    ],
)
def test_words_have_no_case_accents_or_punctuation(text: str, words: list[str]) -> None:
    assert words_in(text) == words


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("pay", "(('kpay':*))"),
        ("p", "(('kp'))"),
        ("pay acme", "(('kpay':*)) & (('kacme':*))"),
        ("INV-2026-00", "(('kinv' <-> 'k2026' <-> 'k00':*))"),
        ('"acme corp" -paid', "(('kacme' <-> 'kcorp')) & !(('kpaid':*))"),
        ('pay -"acme corp', "(('kpay':*)) & !(('kacme' <-> 'kcorp'))"),
        ("pay & | ! <-> :* ( '", "(('kpay':*))"),
        ("ex_123", "(('kex' <-> 'k123':*))"),
    ],
)
def test_a_text_becomes_a_query(text: str, query: str) -> None:
    assert " & ".join(as_tsqueries(parse_search(text), "k", people={})) == query


def test_people_and_workflows_are_alternatives() -> None:
    anna = uuid.UUID(int=1)
    queries = as_tsqueries(parse_search("anna -ben"), "k", people={"anna": [anna]}, one_of=["k#w"])
    assert queries == [f"(('kanna':*) | 'k@{anna}')", "!(('kben':*))", "('k#w')"]


@pytest.mark.parametrize("length", [1, 5, 25, 26])
def test_the_beginning_of_an_id_bounds_the_ids(length: int) -> None:
    item = ids.new_uuid()
    search = parse_search(ids.public_id(ids.WORK_ITEM, item)[: 3 + length])
    assert search.has_id
    assert search.above < item < search.below
    assert search.terms == ()
    assert length < 26 or search.below.int - search.above.int == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x" * 201, "longer than 200 characters"),
        ("a\x00b", "NUL"),
        (" ".join(["word"] * 13), "more than 12 words"),
        ("-a -b", "only excludes"),
        ("wi_7 -a", "only excludes"),
        ('"' + "w " * 13 + '"', "phrase of more than 12 words"),
    ],
)
def test_what_exceeds_the_grammar_is_refused(text: str, problem: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=problem) as refused:
        parse_search(text)
    assert refused.value.errors[0].pointer == "?q"


@pytest.mark.parametrize("text", ["", "   ", "!!!", "''", '""', "- -", "\\"])
def test_a_text_without_words_is_empty(text: str) -> None:
    assert parse_search(text).is_empty


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        query = " & ".join(as_tsqueries(parse_search(text), "k", people={}))
    except errors.InvalidRequest:
        return
    assert query.count("'") % 2 == 0
    assert "\\" not in query


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_the_texts_of_a_value_are_those_a_reader_sees(value: Any) -> None:
    assert all(isinstance(text, str) for text in texts_in(value))


def test_a_document_has_positions_with_gaps_between_texts_and_is_bounded() -> None:
    assert document("k", ["Acme Corp", "corp"], ["k#w"]) == "'kacme':1 'kcorp':2,13 'k#w'"
    assert document("k", ["w " * 5_000], []).count(",") < MOST_WORDS
    assert list(texts_in({"a": ["x", 5, True, None, {"b": 1.5}]})) == ["x", "5", "1.5"]
