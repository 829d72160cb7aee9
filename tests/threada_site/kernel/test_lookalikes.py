"""Scripts of words, and skeletons of texts that look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.admin.fields import visible
from threada_site.kernel.characters import has_turned_numbers
from threada_site.kernel.lookalikes import has_mixed_word, scripts_of, skeleton, words
from workitems.display.marks import with_mark


@pytest.mark.parametrize(
    ("word", "scripts"),
    [
        ("H\u043e\u043eli", ("CYRILLIC", "LATIN")),
        ("\u0391BC", ("GREEK", "LATIN")),
        ("\u0455tark\u0565", ("ARMENIAN", "CYRILLIC", "LATIN")),
        ("1\u043e\u0439", ("CYRILLIC",)),
        ("Hooli", ()),
        ("M\u00fcller", ("LATIN",)),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", ("CYRILLIC",)),
        ("T\u30b7\u30e3\u30c4", ("KATAKANA",)),
        ("\uff28\uff4f\uff4f\uff4c\uff49", ("LATIN",)),
        ("\u00b5m", ("LATIN",)),
        ("k\u2126", ("LATIN",)),
    ],
)
def test_scripts_of_a_word(word: str, scripts: tuple[str, ...]) -> None:
    assert len(scripts_of(word)) == len(scripts)
    assert has_mixed_word(f"a {word}, b") == (len(scripts) > 1)
    if len(scripts) != 1:
        assert scripts_of(word) == scripts


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("H\u043e\u043eli GmbH", "Hooli GmbH", True),
        ("HooIi", "Hooli", True),
        ("H0OLI", "HOOLI", True),
        ("Stark Modem", "Stark Modern", True),
        ("\u0430\u0440\u0440\u04cf\u0435", "apple", True),
        ("\uff28ooli", "Hooli", True),
        ("Ho\u200boli", "Hooli", True),
        ("Hooli\u00a0 GmbH ", "Hooli GmbH", True),
        ("Hooli\u2013GmbH", "Hooli-GmbH", True),
        ("DE89 O532", "DE89 0532", True),
        ("Hooli", "HOOLI", False),
        ("M\u00fcller", "Muller", False),
        ("Hooli AG", "Hooli GmbH", False),
    ],
)
def test_texts_that_look_alike_have_one_skeleton(one: str, other: str, *, alike: bool) -> None:
    assert (skeleton(one) == skeleton(other)) == alike


@given(st.text(max_size=60))
def test_pieces_are_the_whole_text_and_skeletons_stay(text: str) -> None:
    assert "".join(piece for piece, _ in words(text)) == text
    assert has_mixed_word(text) == any(scripts for _, scripts in words(text))
    assert skeleton(f"  {text}\u200b") == skeleton(text)


def test_pages_mark_the_word_behind_it() -> None:
    shown = visible("H\u043e\u043eli <b> \u202e\u041c\u0438\u0440")
    assert shown == (
        '<span class="t-mixed">H\u043e\u043eli</span> <span class="t-tag t-risk">mixed scripts: Cyrillic, Latin</span>'
        ' &lt;b&gt; <span class="t-unseen" title="right-to-left override">U+202E</span>\u041c\u0438\u0440'
    )
    assert visible("M\u00fcller & Co") == "M\u00fcller &amp; Co"


@pytest.mark.parametrize(
    ("text", "is_turned"),
    [
        ("Acme \u05d0 34 56 78 \u05d1 90", True),
        ("INV \u05d0 1 2 3", True),
        ("\u0627\u0628 12 34", True),  # Arabic
        ("\u05d0 1-2 3", True),
        ("\u05d0\u05d1 24", False),  # one number
        ("\u05d0 1,234.56", False),
        ("12 34 \u05d0", False),
        ("\u05d0 12 Acme 34", False),
        ("Pay \u05d0\u05d1", False),
        ("M\u00fcller 12 34", False),
    ],
)
def test_numbers_in_another_order_than_written_are_marked(text: str, is_turned: bool) -> None:
    assert has_turned_numbers(text) == is_turned
    mark = ' <span class="t-tag t-risk">numbers displayed in another order than written</span>'
    assert visible(text) == text + (mark if is_turned else "")
    assert with_mark(text) == (f"[turned numbers] {text}" if is_turned else text)
