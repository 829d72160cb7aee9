"""The format of tokens, as GitHub's secret scanners and the token lookup expect it."""

from __future__ import annotations

import re
import zlib

from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel import tokens

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_tokens_are_unique_and_well_formed() -> None:
    made = {tokens.new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"thr_[0-9A-Za-z]{49}", token) and tokens.is_well_formed(token) for token in made)


def test_checksum_is_crc32_in_base_62() -> None:
    token = tokens.new_token()
    number = 0
    for character in token[-6:]:
        number = number * 62 + ALPHABET.index(character)
    assert number == zlib.crc32(token[4:-6].encode())


def test_every_changed_character_is_detected() -> None:
    token = tokens.new_token()
    for place in range(4, len(token)):
        for character in ALPHABET:
            if character != token[place]:
                assert not tokens.is_well_formed(token[:place] + character + token[place + 1 :])


@given(st.text(max_size=80))
def test_random_text_is_no_token(text: str) -> None:
    assert not tokens.is_well_formed(text)
    assert not tokens.is_well_formed("thr_" + text)


def test_surrounding_text_is_not_part_of_a_token() -> None:
    token = tokens.new_token()
    assert not any(tokens.is_well_formed(text) for text in (f" {token}", f"{token}\n", token.upper(), token[4:]))


def test_digest_is_sha256_of_the_whole_token() -> None:
    assert tokens.digest("thr_x").hex() == "ce906b499087c2998f3e38bfa07071fc83c744b41cba26e530696aec0ccc9129"
