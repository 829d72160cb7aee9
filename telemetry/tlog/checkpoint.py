"""Signed tree heads (https://c2sp.org/tlog-checkpoint): origin, number of leaves and root hash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from telemetry.tlog.hashing import HASH_BYTES
from telemetry.tlog.note import SignedNote, Signer, VerifierKey, checked_name, checked_text, sign
from telemetry.tlog.texts import MalformedText, decimal, decoded, encoded

COMPLETE_AFTER: Final = timedelta(minutes=5)
"""Time after which every receipt is in the queue or sealed: a unit of work lasts at most four minutes."""
CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""Most by which the clocks of the process that writes a receipt and of the sealer differ."""
INSTANCE: Final = "instance"
"""Last part of the origin of the instance log, in place of a tenant's public id."""
_COMPLETE_UNTIL: Final = re.compile(
    r"complete-until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)"
)
_SIGNED_FROM: Final = re.compile(r"signed-from (?P<size>0|[1-9][0-9]{0,18})")
_RESTORED: Final = re.compile(r"(?P<instance>.+)/restored-(?P<times>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log. `extensions` are the lines after the root: `complete-until T`, `signed-from N`, and others.

    `complete_until`: every receipt older than this time is among the first `size`. None for logs of checkpoints, and in
    notes of versions that did not write the line. `signed_from`: receipts from this index on carry a signature of the
    process that wrote them; None as long as processes may run that do not sign.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a note. Raises `MalformedText`."""
        lines = checked_text(text).removesuffix("\n").split("\n")
        if len(lines) < 3 or not all(lines):
            raise MalformedText("a checkpoint has at least three lines, none of them empty")
        root = decoded(lines[2], what="the root of the checkpoint")
        if len(root) != HASH_BYTES:
            raise MalformedText(f"the root of the checkpoint has {len(root)} bytes, not {HASH_BYTES}")
        found = cls(lines[0], decimal(lines[1], what="the size of the checkpoint"), root, tuple(lines[3:]))
        _ = found.complete_until, found.signed_from
        return found

    @property
    def signed_from(self) -> int | None:
        """Return the number in the line `signed-from`. Raises `MalformedText`."""
        lines = [line for line in self.extensions if line.startswith("signed-from")]
        if not lines:
            return None
        matched = _SIGNED_FROM.fullmatch(lines[0])
        if len(lines) > 1 or not matched:
            raise MalformedText("a checkpoint has at most one line signed-from, with the number of a leaf")
        return int(matched["size"])

    @property
    def complete_until(self) -> datetime | None:
        """Return the time in the line `complete-until`. Raises `MalformedText`."""
        lines = [line for line in self.extensions if line.startswith("complete-until")]
        if not lines:
            return None
        matched = _COMPLETE_UNTIL.fullmatch(lines[0])
        try:
            if len(lines) == 1 and matched:
                return datetime.fromisoformat(matched[1])
        except ValueError:
            pass
        raise MalformedText("a checkpoint has at most one line complete-until, with a time in milliseconds and UTC")

    def text(self) -> str:
        """Return the text that is signed."""
        return checked_text("".join(f"{line}\n" for line in self._lines()))

    def sign(self, signers: Sequence[Signer]) -> SignedNote:
        """Return the checkpoint as a note signed by every signer (two during a key rotation)."""
        return sign(self.text(), signers)

    def _lines(self) -> tuple[str, ...]:
        return (self.origin, str(self.size), encoded(self.root), *self.extensions)


def open_checkpoint(note: str | bytes | SignedNote, keys: Iterable[VerifierKey], *, origin: str) -> Checkpoint:
    """Return the checkpoint in a note that one of `keys` signed for `origin`.

    Raises `MalformedText` (also for the checkpoint of another log) and `UntrustedNote`.
    """
    signed = note if isinstance(note, SignedNote) else SignedNote.parse(note)
    signed.verified_by(keys)
    checkpoint = Checkpoint.parse(signed.text)
    if checkpoint.origin != origin:
        raise MalformedText(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    return checkpoint


def complete_until_line(at: datetime) -> str:
    """Return the line of a checkpoint that names the time until which the log is complete, in whole milliseconds."""
    return f"complete-until {at.astimezone(UTC).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def signed_from_line(size: int) -> str:
    """Return the line of a checkpoint that names the index from which on receipts carry signatures."""
    return f"signed-from {size}"


def log_origin(instance: str, tenant: str) -> str:
    """Return the origin line and key name of a tenant's log: the instance's name, then the tenant's public id.

    Every receipt contains the tenant's public id, so that a receipt identifies its log. `instance` looks like a
    schema-less URL and must never change, even if the instance is reached at another address.
    """
    return checked_name(f"{instance}/{tenant}")


def instance_origin(instance: str) -> str:
    """Return the origin line and key name of the log whose leaves are the tenants' checkpoints."""
    return log_origin(instance, INSTANCE)


def times_restored(origin: str) -> int:
    """Return the number of acknowledged breaks in the origin of a log."""
    found = _RESTORED.fullmatch(origin.rpartition("/")[0])
    return int(found["times"]) if found else 0


def origin_after_break(origin: str) -> str:
    """Return the origin of the continued log: `x/tn_…`, then `x/restored-1/tn_…`, `x/restored-2/tn_…`."""
    instance, _, tenant = origin.rpartition("/")
    before = _RESTORED.fullmatch(instance)
    return f"{before['instance'] if before else instance}/restored-{times_restored(origin) + 1}/{tenant}"
