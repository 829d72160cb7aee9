"""Interface of an export format: bodies in, bytes out, in constant memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

type Bodies = Sequence[bytes | memoryview]


class Encoder(Protocol):
    """Encodes batches of receipt bodies, oldest first, into the bytes of one file."""

    def header(self) -> bytes:
        """Return the bytes before the first batch."""

    def encode(self, bodies: Bodies) -> bytes:
        """Return the bytes of one batch (never empty). May keep some bytes for a later batch."""

    def footer(self) -> bytes:
        """Return the kept bytes and the bytes after the last batch."""
