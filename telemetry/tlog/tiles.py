"""Hashes of a log in tiles of 256 (https://c2sp.org/tlog-tiles), from which any proof can be built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from telemetry.tlog.tree import NodeId

TILE_HASHES: Final = 256
TILE_LEVELS: Final = 8


class TileId(NamedTuple):
    """Up to 256 adjacent hashes: level 0 contains leaves, level n the roots of full tiles of the level below."""

    level: int
    number: int
    width: int

    def path(self) -> str:
        """Return the relative path of the tile, such as `tile/0/x001/067` or `tile/1/000.p/42`."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = f".p/{self.width}" if self.width < TILE_HASHES else ""
        return f"tile/{self.level}/{name}{partial}"

    def nodes(self) -> list[NodeId]:
        """Return the nodes whose hashes the tile contains, in order."""
        first = self.number * TILE_HASHES
        return [NodeId(TILE_LEVELS * self.level, first + at) for at in range(self.width)]


def levels(size: int) -> range:
    """Return the tile levels of a log of `size` leaves."""
    return range(max(0, -(-size.bit_length() // TILE_LEVELS)))


def tiles_of(level: int, size: int) -> Iterator[TileId]:
    """Yield all tiles of one level; the partial tile at the right edge is last."""
    full, width = divmod(size >> TILE_LEVELS * level, TILE_HASHES)
    for number in range(full):
        yield TileId(level, number, TILE_HASHES)
    if width:
        yield TileId(level, full, width)
