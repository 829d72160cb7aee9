"""Offline inclusion proofs (https://c2sp.org/tlog-proof): index, path and checkpoint in one text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from telemetry.tlog.checkpoint import Checkpoint, open_checkpoint
from telemetry.tlog.hashing import HASH_BYTES, leaf_hash
from telemetry.tlog.note import LONGEST_NOTE, SignedNote, VerifierKey
from telemetry.tlog.proofs import inclusion_holds
from telemetry.tlog.texts import MalformedText, decimal, decoded, encoded

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
MEDIA_TYPE: Final = "text/plain; charset=utf-8"
SUFFIX: Final = ".tlog-proof"
LONGEST_PATH: Final = 64


class ProofDoesNotHold(ValueError):
    """The entry is not in the log at the given index."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Index of the entry, hashes of its path, and the checkpoint, verbatim. `extra` is not authenticated."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: SignedNote
    extra: bytes | None = None

    @classmethod
    def parse(cls, raw: str | bytes) -> Self:
        """Parse a proof without verifying it. Raises `MalformedText`."""
        if len(raw) > LONGEST_NOTE:
            raise MalformedText("the proof is too long")
        try:
            text = raw.decode() if isinstance(raw, bytes) else raw
        except UnicodeDecodeError:
            raise MalformedText("the proof is not UTF-8") from None
        header, separator, note = text.partition("\n\n")
        lines = header.split("\n")
        if not separator or lines.pop(0) != FIRST_LINE:
            raise MalformedText(f"a proof begins with the line {FIRST_LINE} and ends with a checkpoint")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decoded(lines.pop(0).removeprefix("extra "), what="the extra data of the proof")
        if not lines or not lines[0].startswith("index "):
            raise MalformedText("the proof does not say an index")
        index = decimal(lines.pop(0).removeprefix("index "), what="the index of the proof")
        path = tuple(decoded(line, what="a hash of the proof") for line in lines)
        if len(path) > LONGEST_PATH or any(len(value) != HASH_BYTES for value in path):
            raise MalformedText(f"the proof holds at most {LONGEST_PATH} hashes of {HASH_BYTES} bytes")
        return cls(index, path, SignedNote.parse(note), extra)

    def __str__(self) -> str:
        extra = () if self.extra is None else (f"extra {encoded(self.extra)}",)
        lines = (FIRST_LINE, *extra, f"index {self.index}", *map(encoded, self.path), "")
        return "".join(f"{line}\n" for line in lines) + str(self.checkpoint)

    def verify(self, entry: bytes, keys: Iterable[VerifierKey], *, origin: str) -> Checkpoint:
        """Return the verified checkpoint that contains `entry` at `index`.

        Raises `MalformedText`, `UntrustedNote`, `ProofDoesNotHold`.
        """
        checkpoint = open_checkpoint(self.checkpoint, keys, origin=origin)
        if not inclusion_holds(leaf_hash(entry), self.index, checkpoint.size, self.path, checkpoint.root):
            raise ProofDoesNotHold(f"the entry is not leaf {self.index} of the log of {checkpoint.size} leaves")
        return checkpoint


def consistency_text(old_size: int, path: Iterable[bytes], checkpoint: SignedNote) -> str:
    """Return the proof that a log of `old_size` leaves is a prefix of the log of `checkpoint`.

    The format is the body of `add-checkpoint` in https://c2sp.org/tlog-witness.
    """
    return "".join(f"{line}\n" for line in (f"old {old_size}", *map(encoded, path), "")) + str(checkpoint)
