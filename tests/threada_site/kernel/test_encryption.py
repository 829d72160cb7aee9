"""What is encrypted is read with the same key, for the same row, unchanged; or not at all."""

from __future__ import annotations

import pytest

from threada_site.kernel.encryption import Undecipherable, decrypt, encrypt

SECRET = "slack://A/B/Ü"


def test_it_is_read_again() -> None:
    stored = encrypt(SECRET, key="k", bound_to=b"row 1")
    assert decrypt(stored, key="k", bound_to=b"row 1") == SECRET
    assert b"slack" not in stored
    assert stored != encrypt(SECRET, key="k", bound_to=b"row 1")


def test_another_key_or_row_reads_nothing() -> None:
    stored = encrypt(SECRET, key="k", bound_to=b"row 1")
    for key, bound_to in (("other", b"row 1"), ("k", b"row 2")):
        with pytest.raises(Undecipherable):
            decrypt(stored, key=key, bound_to=bound_to)


def test_changed_bytes_are_not_read() -> None:
    stored = encrypt(SECRET, key="k", bound_to=b"row 1")
    for position in range(len(stored)):
        changed = stored[:position] + bytes([stored[position] ^ 1]) + stored[position + 1 :]
        with pytest.raises(Undecipherable):
            decrypt(changed, key="k", bound_to=b"row 1")
    for length in range(len(stored)):
        with pytest.raises(Undecipherable):
            decrypt(stored[:length], key="k", bound_to=b"row 1")
