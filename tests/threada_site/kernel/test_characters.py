from __future__ import annotations

import unicodedata

import pytest

from threada_site.kernel.characters import has_unseen, name_of, pieces, turns_text, unseen_in

# Visible format characters: signs around Arabic, Syriac, Kaithi and Egyptian numbers and groups.
DRAWN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}


def test_every_character_of_an_invisible_category_is_found() -> None:
    missed = [
        hex(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point)) in ("Cc", "Cf", "Co", "Zl", "Zp", "Zs")
        and chr(point) not in " \t\n"
        and point not in DRAWN
        and not has_unseen(chr(point))
    ]
    assert missed == []


def test_visible_characters_are_ignored() -> None:
    taken = [
        hex(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point))[0] in "LNPS"
        and chr(point) not in "\u115f\u1160\u2800\u3164\uffa0\ufffc\ufffd"
        and has_unseen(chr(point))
    ]
    assert taken == []
    assert not has_unseen("Zürich, 東京, नमस्ते, é, tab\tand\nnewline")


@pytest.mark.parametrize(
    ("character", "name", "turns"),
    [
        ("\u202e", "right-to-left override", True), ("\u2066", "left-to-right isolate", True),
        ("\u200b", "zero width space", False), ("\u00ad", "soft hyphen", False), ("\u00a0", "no-break space", False),
        ("\U000e0061", "tag latin small letter a", False), ("\x00", "control or unnamed character", False),
        ("\ufe0f", "variation selector-16", False), ("\r", "carriage return", False),
    ],
)  # fmt: skip
def test_known_invisible_characters_are_found(character: str, name: str, turns: bool) -> None:
    assert pieces(f"a{character}b") == [("a", False), (character, True), ("b", False)]
    assert (name_of(character), turns_text(character)) == (name, turns)


def test_keys_and_values_are_searched() -> None:
    value = {"a\u200b": [{"b": "x\u202ey\u202e"}, 1, None, True], "c": "plain"}
    assert unseen_in(value) == {"\u200b": 1, "\u202e": 2}
    assert unseen_in("plain") == {}
