"""Evidence of an export as one zip archive: receipts, their log positions, and the proofs. Pure.

    <name>/README.txt         instructions
    <name>/receipts.ndjson    the export, byte for byte
    <name>/positions.txt      line n: the log index of receipt n, from 0, or `-` if it is not sealed yet
    <name>/order.txt          `order: log` if the receipts are in the order of the log; without it, in that of their ids
    <name>/signatures.txt     line n: the signature of receipt n (`telemetry/receipts/signature.py`), or `-`
    <name>/receipt-keys.txt   the public keys of these signatures, in a note that the sealer signed, if it did
    <name>/checkpoint.txt     the signed checkpoint of the log (C2SP tlog-checkpoint)
    <name>/instance.tlog-proof  proof that checkpoint.txt is a leaf of the instance log (C2SP tlog-proof), if it is one
    <name>/tile/…             hashes of the log (C2SP tlog-tiles) on the path from the receipts to the checkpoint

Positions are hints and are not trusted: a receipt is valid only if its hash is in a tile that leads to the signed root.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

README_FILE: Final = "README.txt"
RECEIPTS_FILE: Final = "receipts.ndjson"
POSITIONS_FILE: Final = "positions.txt"
ORDER_FILE: Final = "order.txt"
LOG_ORDER: Final = b"order: log\n"
SIGNATURES_FILE: Final = "signatures.txt"
RECEIPT_KEYS_FILE: Final = "receipt-keys.txt"
CHECKPOINT_FILE: Final = "checkpoint.txt"
INSTANCE_PROOF_FILE: Final = "instance.tlog-proof"
MEDIA_TYPE: Final = "application/zip"
_DATE: Final = (1980, 1, 1, 0, 0, 0)

README: Final = """\
This archive contains receipts of governed work and the proof that they are the sealed ones.

    python3 threada_verify.py --key KEY {archive}

threada_verify.py is one file for Python 3.10 or newer, with the package `cryptography`. Get it, and the KEY, from a
source you trust. The key is the public key of the log {origin}.
The archive claims to be signed with:

{keys}

receipts.ndjson   the receipts, one JSON object per line, byte for byte as they were sealed
positions.txt     line n: the log index of receipt n, from 0
order.txt         `order: log` if the receipts are in the order of the log; without it, in that of their ids
signatures.txt    line n: the signature of receipt n by the process that wrote it, or - if it has none
receipt-keys.txt  the public keys of these signatures, signed by the key of the log
checkpoint.txt    the signed checkpoint of the log (https://c2sp.org/tlog-checkpoint)
tile/             hashes of the log (https://c2sp.org/tlog-tiles, RFC 6962)
instance.tlog-proof  proof that checkpoint.txt, byte for byte, is a leaf of the instance log
                  (https://c2sp.org/tlog-proof), so that a saved checkpoint of that log also covers this one

Save checkpoint.txt: with --against it proves at any later time that the log only grew since.
No signature covers the file that you read: whoever handed you the archive may have changed it.
"""


def readme(*, archive: str, origin: str, verifier_keys: list[str]) -> str:
    """Return the text of README.txt."""
    return README.format(archive=archive, origin=origin, keys="\n".join(f"    {key}" for key in verifier_keys))


class Archive:
    """A zip whose bytes are returned while it is written, so that it is never held in memory as a whole."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")  # type: ignore[call-overload]

    @contextmanager
    def member(self, name: str, *, compressed: bool = True) -> Iterator[IO[bytes]]:
        """Open a file of the archive for writing. Only one file can be open at a time."""
        entry = zipfile.ZipInfo(f"{self._top}/{name}", _DATE)
        entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        entry.external_attr = 0o644 << 16
        with self._zip.open(entry, "w", force_zip64=True) as out:
            yield out

    def add(self, name: str, data: bytes, *, compressed: bool = True) -> bytes:
        """Write a small file in one call. Return the bytes that are ready to be sent."""
        with self.member(name, compressed=compressed) as out:
            out.write(data)
        return self.drain()

    def drain(self) -> bytes:
        """Return the bytes written since the last call."""
        return self._sink.drain()

    def finish(self) -> bytes:
        """Write the directory of the archive, without which it cannot be read."""
        self._zip.close()
        return self.drain()


class _Sink:
    """An in-memory stream that cannot seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: no byte is buffered elsewhere."""

    def drain(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
