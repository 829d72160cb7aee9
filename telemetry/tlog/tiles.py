"""The hashes of a log in tiles of 256 (https://c2sp.org/tlog-tiles): any proof can be made from the few it touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from telemetry.tlog.tree import NodeId

TILE_HASHES: Final = 256
TILE_LEVELS: Final = 8


class TileId(NamedTuple):
    """Up to 256 neighbouring hashes: level 0 holds leaves, level n the roots of full tiles of the level below."""

    level: int
    number: int
    width: int

    def path(self) -> str:
        """Its name below the log's address, such as `tile/0/x001/067` or `tile/1/000.p/42`."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = f".p/{self.width}" if self.width < TILE_HASHES else ""
        return f"tile/{self.level}/{name}{partial}"

    def nodes(self) -> list[NodeId]:
        """Whose hashes it holds, in order."""
        first = self.number * TILE_HASHES
        return [NodeId(TILE_LEVELS * self.level, first + at) for at in range(self.width)]


def levels(size: int) -> range:
    """The levels at which the log of `size` leaves has tiles."""
    return range(max(0, -(-size.bit_length() // TILE_LEVELS)))


def tiles_of(level: int, size: int) -> Iterator[TileId]:
    """All tiles of one level, the partial one at the right edge last."""
    full, width = divmod(size >> TILE_LEVELS * level, TILE_HASHES)
    for number in range(full):
        yield TileId(level, number, TILE_HASHES)
    if width:
        yield TileId(level, full, width)


def leaf_tile(index: int, size: int) -> TileId:
    """The tile that holds leaf `index`."""
    number = index // TILE_HASHES
    return TileId(0, number, min(TILE_HASHES, size - number * TILE_HASHES))
