from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel.json.canonical import canonical_bytes, canonical_sha256, commitment, sha256_hex


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ([5.0, -0.0, 1e21, 1e-7, 0.1], b"[5,0,1e+21,1e-7,0.1]"),
        ("\u20ac$\x0f\nA'B\"\\/", '"\u20ac$\\u000f\\nA\'B\\"\\\\/"'.encode()),
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'.encode()),
    ],
)
def test_bytes_match_rfc_8785(value: Any, expected: bytes) -> None:
    assert canonical_bytes(value) == expected


@pytest.mark.parametrize("value", [float("nan"), 2**53, ["\ud800"], {"a": object()}])
def test_value_without_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_bytes(value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(VALUES)
def test_every_encoding_matches_the_reference(value: Any) -> None:
    try:
        expected: bytes | None = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        expected = None
    if expected is None:
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical_bytes(value)
    else:
        assert canonical_bytes(value) == expected


def test_digests() -> None:
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert canonical_sha256({"b": 1, "a": 2}) == canonical_sha256({"a": 2.0, "b": 1}) == sha256_hex(b'{"a":2,"b":1}')


def test_commitment_depends_on_salt_and_value() -> None:
    assert commitment(b"s" * 16, {"a": 1}) == sha256_hex(b"s" * 16 + b'{"a":1}')
    assert len({commitment(salt, value) for salt in (b"s", b"t") for value in (1, 2)}) == 4
