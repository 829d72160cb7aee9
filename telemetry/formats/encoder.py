"""What every format is: bodies in, bytes out, in constant memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

type Bodies = Sequence[bytes | memoryview]


class Encoder(Protocol):
    """Turns batches of receipt bodies, oldest first, into the bytes of a file. Used for one file."""

    def header(self) -> bytes:
        """What stands before the first batch."""

    def encode(self, bodies: Bodies) -> bytes:
        """The bytes of one batch (never empty); may hold back what belongs to a later one."""

    def footer(self) -> bytes:
        """What is held back, and what stands after the last batch."""
