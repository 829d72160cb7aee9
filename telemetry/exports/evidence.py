"""Evidence of an export: its receipts with the proof of their positions in the signed log.

Generated while it is sent, from the export's file and from rows that never change, so that it needs no disk space and
no long transaction. Receipts sealed after the chosen checkpoint are listed as not sealed.
"""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import batched
from pathlib import Path
from typing import IO, Final

import orjson
from django.conf import settings
from django.db import connection

from telemetry.exports.download import Download, open_file
from telemetry.exports.evidence_archive import (
    CHECKPOINT_FILE,
    INSTANCE_PROOF_FILE,
    LOG_ORDER,
    MEDIA_TYPE,
    ORDER_FILE,
    POSITIONS_FILE,
    README_FILE,
    RECEIPT_KEYS_FILE,
    RECEIPTS_FILE,
    SIGNATURES_FILE,
    Archive,
    readme,
)
from telemetry.log.rows import LogIncomplete
from telemetry.models import Checkpoint, LogLeaf, Receipt, TelemetryExport
from telemetry.selectors import InstanceProof, instance_proof, newest_checkpoint, newest_receipt_key_note
from telemetry.tlog.tiles import TILE_HASHES, TILE_LEVELS, TileId, levels, tiles_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids

WHOLE_LOG: Final = 1 << 18
"""Logs up to this number of receipts are included with all hashes (8 MB), so that any older checkpoint can be
compared."""

_LINES_AT_ONCE: Final = 2000
_READ_BYTES: Final = 262_144
_HASHES: Final = """
SELECT hash FROM telemetry_lognode
 WHERE tenant_id = %s AND level = %s AND "index" >= %s AND "index" < %s ORDER BY "index"
"""
_LEAF_HASHES: Final = """
SELECT hash FROM telemetry_logleaf WHERE tenant_id = %s AND "index" >= %s AND "index" < %s ORDER BY "index"
"""


def open_evidence(export: TelemetryExport) -> Download:
    """Return a ready NDJSON export with its proof as a zip. Call it inside a unit of work; streaming opens its own.

    Raises `ExportNotVerifiable` (another format), `ReceiptNotSealed` (no checkpoint yet), and the errors of
    `open_file`.
    """
    if export.format != "ndjson":
        raise errors.ExportNotVerifiable
    path = open_file(export)
    checkpoint = newest_checkpoint(export.tenant_id)
    if checkpoint is None:
        raise errors.ReceiptNotSealed(headers={"Retry-After": "1"})
    name = f"{export.public_id}-evidence"
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Disposition": f'attachment; filename="{name}.zip"',
        "Cache-Control": "private, no-store",
    }
    evidence = evidence_of(path, name=name, checkpoint=checkpoint, compression=export.compression)
    return Download(200, headers, evidence)


def _over(checkpoint: Checkpoint) -> InstanceProof | None:
    """Return the proof that the tree of `checkpoint` is in the instance log; None if it is not, or none is kept.

    A heartbeat has the same tree as the checkpoint before it.
    """
    if not settings.THREADA_INSTANCE_LOG:
        return None
    try:
        found = instance_proof(checkpoint.tenant_id)
    except LogIncomplete:
        return None  # the alarm exists already; the tenant's own log is proven independently
    if found is None or found.entry.note.split("\n")[:3] != checkpoint.note.split("\n")[:3]:
        return None
    return found


def evidence_of(
    file: Path,
    *,
    name: str,
    checkpoint: Checkpoint,
    compression: str = "none",
    whole_log: int | None = None,
    is_in_log_order: bool = False,
) -> Iterator[bytes]:
    """Yield the bytes of the zip `name`, for receipts that are the lines of `file`. Opens its own units of work.

    The lines are in the order of their ids, or in that of the log: receipts that commit at the same time may be sealed
    in another order than that of their ids.
    """
    archive = Archive(name)
    words = readme(
        archive=f"{name}.zip", origin=checkpoint.note.partition("\n")[0], verifier_keys=list(checkpoint.verifier_keys)
    )
    yield archive.add(README_FILE, words.encode())
    with unit_of_work(checkpoint.tenant_id):
        over = _over(checkpoint)
    yield archive.add(CHECKPOINT_FILE, (over.entry.note if over else checkpoint.note).encode())
    if over:
        yield archive.add(INSTANCE_PROOF_FILE, str(over.proof).encode())
    if is_in_log_order:
        yield archive.add(ORDER_FILE, LOG_ORDER)
    with archive.member(RECEIPTS_FILE) as out, _receipts(file, compression) as lines:
        while block := lines.read(_READ_BYTES):
            out.write(block)
            yield archive.drain()
    with unit_of_work(checkpoint.tenant_id):
        key_note = newest_receipt_key_note()
    if key_note:
        yield archive.add(RECEIPT_KEYS_FILE, key_note.encode())
    with archive.member(SIGNATURES_FILE) as out, _receipts(file, compression) as stream:
        for lines_read in batched(stream, _LINES_AT_ONCE):
            out.write("".join(f"{signature or '-'}\n" for signature in _signatures(lines_read, checkpoint)).encode())
            yield archive.drain()
    touched: set[int] = set()
    with archive.member(POSITIONS_FILE) as out, _receipts(file, compression) as stream:
        for lines_read in batched(stream, _LINES_AT_ONCE):
            places = _places(lines_read, checkpoint)
            touched.update(place // TILE_HASHES for place in places if place is not None)
            out.write("".join("-\n" if place is None else f"{place}\n" for place in places).encode())
            yield archive.drain()
    for tiles in batched(
        _tiles(checkpoint.size, touched, whole_log=WHOLE_LOG if whole_log is None else whole_log), 256
    ):
        with unit_of_work(checkpoint.tenant_id):
            found = [(tile, _hashes(tile, checkpoint.tenant_id)) for tile in tiles]
        for tile, hashes in found:
            yield archive.add(tile.path(), hashes, compressed=False)
    yield archive.finish()


@contextmanager
def _receipts(file: Path, compression: str) -> Iterator[IO[bytes]]:
    with file.open("rb") as raw:
        yield gzip.GzipFile(fileobj=raw) if compression == "gzip" else raw  # type: ignore[misc]


def _named(lines: tuple[bytes, ...]) -> list[uuid.UUID]:
    parsed = (ids.parse_public_id(ids.RECEIPT, orjson.loads(line)["id"]) for line in lines)
    return [receipt for receipt in parsed if receipt is not None]


def _signatures(lines: tuple[bytes, ...], checkpoint: Checkpoint) -> list[str]:
    """Return the signature of each receipt; "" for those that have none or were removed."""
    named = _named(lines)
    with unit_of_work(checkpoint.tenant_id):
        rows = Receipt.objects.filter(tenant_id=checkpoint.tenant_id, id__in=named)
        found = dict(rows.values_list("id", "signature"))
    return [found.get(receipt, "") for receipt in named]


def _places(lines: tuple[bytes, ...], checkpoint: Checkpoint) -> list[int | None]:
    """Return the log index of each receipt under `checkpoint`, or None if it was sealed later or not yet."""
    named = _named(lines)
    with unit_of_work(checkpoint.tenant_id):
        leaves = LogLeaf.objects.filter(tenant_id=checkpoint.tenant_id, id__in=named, index__lt=checkpoint.size)
        found = dict(leaves.values_list("id", "index"))
    return [found.get(receipt) for receipt in named]


def _tiles(size: int, touched: set[int], *, whole_log: int) -> Iterator[TileId]:
    """Yield the tiles on the paths from the leaf tiles `touched` to the root: all above the leaves, and the right edge.

    Yields all tiles if the log has at most `whole_log` receipts.
    """
    for level in levels(size):
        for tile in tiles_of(level, size):
            if level or size <= whole_log or tile.width < TILE_HASHES or tile.number in touched:
                yield tile


def _hashes(tile: TileId, tenant_id: uuid.UUID) -> bytes:
    first = tile.number * TILE_HASHES
    with connection.cursor() as cursor:
        if tile.level:
            cursor.execute(_HASHES, [tenant_id, tile.level * TILE_LEVELS, first, first + tile.width])
        else:
            cursor.execute(_LEAF_HASHES, [tenant_id, first, first + tile.width])
        return b"".join(bytes(row[0]) for row in cursor.fetchall())
