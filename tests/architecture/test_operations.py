"""The operations of the API are those of the stored table: none moves, and none changes its scope, unnoticed."""

from __future__ import annotations

from tests.architecture.operations import STORED, operations


def test_operations_are_those_of_the_stored_table() -> None:
    """If this change is meant: `uv run python -m tests.architecture.operations`."""
    assert operations() == STORED.read_text().splitlines()
