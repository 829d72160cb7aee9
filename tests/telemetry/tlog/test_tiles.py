"""Paths and contents of tiles: an independent implementation reads and verifies them."""

from __future__ import annotations

from pathlib import Path

import aics_tlog
import pytest
from aics_tlog.tiles import tile_path

from telemetry.tlog.proofs import tree_root
from telemetry.tlog.tiles import TileId, levels, tiles_of
from tests.telemetry.tlog.logs import Log


def written(log: Log, size: int, folder: Path) -> int:
    """Write all tiles of the log at `size` below `folder`. Return their number."""
    tiles = [tile for level in levels(size) for tile in tiles_of(level, size)]
    for tile in tiles:
        file = folder / tile.path()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(log.nodes[node] for node in tile.nodes()))
    return len(tiles)


@pytest.fixture(scope="module")
def log() -> Log:
    return Log.of([b"%d" % number for number in range(66_000)])


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 66_000])
def test_an_independent_reader_audits_them(log: Log, size: int, tmp_path: Path) -> None:
    number = written(log, size, tmp_path)
    reader = aics_tlog.FileSystemTileReader(tmp_path)
    audited = aics_tlog.audit_tiles(reader, size, tree_root(size, log.read), entries=False)
    assert (audited.size, audited.tiles) == (size, number)


def test_the_example_of_the_specification() -> None:
    tiles = [tile for level in levels(70_000) for tile in tiles_of(level, 70_000)]
    assert [sum(tile.level == level and tile.width == 256 for tile in tiles) for level in range(3)] == [273, 1, 0]
    assert [tile for tile in tiles if tile.width < 256] == [TileId(0, 273, 112), TileId(1, 1, 17), TileId(2, 0, 1)]
    assert TileId(0, 1_234_067, 256).path() == "tile/0/x001/x234/067"


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 999_999, 1_000_000, 1_234_067])
@pytest.mark.parametrize("width", [1, 255, 256])
def test_paths(number: int, width: int) -> None:
    assert TileId(1, number, width).path() == tile_path(1, number, None if width == 256 else width)
