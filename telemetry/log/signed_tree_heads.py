"""Signed tree heads of a tenant's log and of the instance log: comparison with the anchor, and signing.

Imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from telemetry.log.anchor import AnchoredCheckpoint
from telemetry.log.key_file import SigningKey
from telemetry.log.rows import LogIncomplete
from telemetry.tlog.checkpoint import Checkpoint, complete_until_line, signed_from_line
from telemetry.tlog.cosignature import cosigned
from telemetry.tlog.note import Signer
from telemetry.tlog.proofs import NodeReader, tree_root
from telemetry.tlog.tree import CompactRange, complete_nodes

ROLLED_BACK: Final = "rolled_back"
FORKED: Final = "forked"
MATCHES_AGAIN: Final = "The database holds the signed log again."


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A signed checkpoint. `tenant` is a public id, or the name of the instance log."""

    tenant: str
    size: int
    note: str
    at: datetime


type OnSigned = Callable[[SignedCheckpoint], None]


class SignedLogMismatch(Exception):
    """The rows are neither the signed log nor an extension of it."""

    def __init__(
        self, kind: str, kept: AnchoredCheckpoint, found: tuple[int, bytes | None], *, detail: str = ""
    ) -> None:
        self.kind = kind
        self.kept = kept
        self.found = found
        self.detail = detail
        super().__init__(kind)

    def as_fields(self) -> dict[str, object]:
        """Return the signed and the current state as fields of a log line."""
        size, root = self.found
        return {
            "signed_size": self.kept.size,
            "signed_root": self.kept.root.hex(),
            "found_size": size,
            "found_root": root.hex() if root else None,
        }


def check_tree(kept: AnchoredCheckpoint | None, *, size: int, read: NodeReader) -> CompactRange:
    """Return the tree of `size` leaves as stored in the rows, if it extends the anchored checkpoint `kept`.

    Raises `SignedLogMismatch`.
    """
    try:
        places = complete_nodes(0, size)
        found = read(places) if places else {}
        tree = CompactRange(size, [found[place] for place in places])
        if kept is None:
            return tree
        if kept.size > size:
            raise SignedLogMismatch(ROLLED_BACK, kept, (size, None))
        root = tree.root() if kept.size == size else tree_root(kept.size, read)
    except LogIncomplete as error:
        raise SignedLogMismatch(
            FORKED, kept or AnchoredCheckpoint("", 0, b""), (size, None), detail=str(error)
        ) from error
    if root != kept.root:
        raise SignedLogMismatch(FORKED, kept, (size, root))
    return tree


@dataclass(frozen=True, slots=True)
class SignedTreeHead:
    """A signed tree head: its values, the note, and the public keys that signed it."""

    size: int
    root: bytes
    note: str
    verifier_keys: list[str]
    at: datetime


def sign_tree_head(
    tree: CompactRange,
    *,
    origin: str,
    keys: Sequence[SigningKey],
    at: datetime,
    complete_until: datetime | None = None,
    signed_from: int | None = None,
) -> SignedTreeHead:
    """Sign the head of `tree` with every key under the name of the log.

    The newest key adds a cosignature, which contains the time. `complete_until`: every receipt older than this time is
    in the tree; None for a log whose leaves are not receipts. `signed_from`: receipts from this index on are signed.
    """
    lines = [] if complete_until is None else [complete_until_line(complete_until)]
    lines += [] if signed_from is None else [signed_from_line(signed_from)]
    checkpoint = Checkpoint(origin, tree.size, tree.root(), tuple(lines))
    note = checkpoint.sign([Signer(origin, key.private_key) for key in keys])
    text = str(cosigned(note, keys[-1].name, keys[-1].private_key, at=at))
    return SignedTreeHead(checkpoint.size, checkpoint.root, text, [str(key.verifier_key(origin)) for key in keys], at)
