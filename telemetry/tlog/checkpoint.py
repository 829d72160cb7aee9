"""Signed tree heads (https://c2sp.org/tlog-checkpoint): which log, how many leaves, which root."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from telemetry.tlog.hashing import HASH_BYTES
from telemetry.tlog.note import SignedNote, Signer, VerifierKey, checked_name, checked_text, sign
from telemetry.tlog.texts import MalformedText, decimal, decoded, encoded

INSTANCE: Final = "instance"
"""What stands in the place of a tenant's public id in the name of the instance's own log."""
_RESTORED: Final = re.compile(r"(?P<instance>.+)/restored-(?P<times>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log. `extensions` are lines of others' making; the logs here write none."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note. Raises `MalformedText`."""
        lines = checked_text(text).removesuffix("\n").split("\n")
        if len(lines) < 3 or not all(lines):
            raise MalformedText("a checkpoint has at least three lines, none of them empty")
        root = decoded(lines[2], what="the root of the checkpoint")
        if len(root) != HASH_BYTES:
            raise MalformedText(f"the root of the checkpoint has {len(root)} bytes, not {HASH_BYTES}")
        return cls(lines[0], decimal(lines[1], what="the size of the checkpoint"), root, tuple(lines[3:]))

    def text(self) -> str:
        """The text that is signed."""
        return checked_text("".join(f"{line}\n" for line in self._lines()))

    def sign(self, signers: Sequence[Signer]) -> SignedNote:
        """The checkpoint as a note, signed by each: two during a change of keys."""
        return sign(self.text(), signers)

    def _lines(self) -> tuple[str, ...]:
        return (self.origin, str(self.size), encoded(self.root), *self.extensions)


def open_checkpoint(note: str | bytes | SignedNote, keys: Iterable[VerifierKey], *, origin: str) -> Checkpoint:
    """The checkpoint in a note that one of `keys` signed for `origin`.

    Raises `MalformedText`, `UntrustedNote`; another log's checkpoint is a `MalformedText` too.
    """
    signed = note if isinstance(note, SignedNote) else SignedNote.parse(note)
    signed.verified_by(keys)
    checkpoint = Checkpoint.parse(signed.text)
    if checkpoint.origin != origin:
        raise MalformedText(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    return checkpoint


def log_origin(instance: str, tenant: str) -> str:
    """The origin line, and the name of the key, of a tenant's log: the instance's name, then the tenant's public id.

    The id is the one that every receipt of the tenant holds, so a receipt says by itself which log it belongs to.
    `instance` looks like a schema-less address and must never change, wherever the instance is reached.
    """
    return checked_name(f"{instance}/{tenant}")


def instance_origin(instance: str) -> str:
    """The origin line, and the name of the key, of the log whose leaves are the tenants' checkpoints."""
    return log_origin(instance, INSTANCE)


def times_restored(origin: str) -> int:
    """How often an operator let the log go on from another state than the signed one, as its name says."""
    found = _RESTORED.fullmatch(origin.rpartition("/")[0])
    return int(found["times"]) if found else 0


def origin_after_break(origin: str) -> str:
    """The name of the log that goes on: `x/tn_…`, then `x/restored-1/tn_…`, `x/restored-2/tn_…`."""
    instance, _, tenant = origin.rpartition("/")
    before = _RESTORED.fullmatch(instance)
    return f"{before['instance'] if before else instance}/restored-{times_restored(origin) + 1}/{tenant}"
