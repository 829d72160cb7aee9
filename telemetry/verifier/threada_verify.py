#!/usr/bin/env python3
"""Verify receipts of governed work against a signed checkpoint, without trusting the operator of the system.

One file: Python 3.10 or newer and the package `cryptography` (pip install cryptography). It opens no network connection
and needs neither the system that wrote the receipts nor its database.

  threada_verify.py --key KEY evidence.zip
      Evidence from "Download evidence" (or its unpacked folder): verifies that every receipt, byte for byte, is the one
      that was sealed at its position in the log.
  threada_verify.py --key KEY receipt.json --proof receipt.tlog-proof
      One receipt and its proof.
  threada_verify.py --key KEY log.ndjson --checkpoint checkpoint.txt
      A whole log: line n is the receipt of sequence n - 1, starting with the first receipt.
  threada_verify.py --key KEY instance-log.zip
      The instance log from "manage.py export_instance_log": verifies every tenant's checkpoint in it, and that each of
      these logs still exists and continues from it. With --against, also compares an older checkpoint of this log.
  threada_verify.py promise answer.json --key KEY [evidence.zip | receipt.json --proof ... | log --checkpoint ...]
      An inclusion promise from an API response (receipt_promise): verifies its signature. With a log, also reports for
      each receipt whether the promise was kept, is not due yet, or was broken (the log is later and lacks the receipt).
  ... --against older-checkpoint.txt
      Also verifies that the log continues the older checkpoint: nothing sealed then was changed, removed or moved.
      This detects a log that was rolled back or rewritten as a whole, so save checkpoints of your own. For a single
      receipt, --consistency names the proof between the two checkpoints.

KEY is the public key of the log (name+id+key) or a file of such lines. Get it from the people responsible, not from the
evidence: the key is trusted, everything else is verified. The same key signs all logs of an instance, including the
instance log (name/instance), so that the key of any of them is sufficient for it.

Evidence also carries the signatures of the processes that wrote its receipts (web, worker, command), with their public
keys, which the key of the log endorses. An invalid one is a finding. With --signed, every receipt needs a valid one,
which neither receipts from before signatures have, nor those that were put into the database otherwise.

A successful verification proves the bytes of each receipt, its position (sequence), its tenant, and that all of them
existed when the checkpoint was signed. It does not prove that the content of receipts is true, or that an export is
complete. With --complete, every sequence of the log must be present.

Exit status: 0 everything is verified; 1 something is not (a broken promise, for example), and each finding is listed;
2 invalid command line, missing file, or not enough data for an answer.

Formats, all public: RFC 6962 (trees and proofs), https://c2sp.org/signed-note, /tlog-checkpoint, /tlog-proof,
/tlog-tiles, /tlog-cosignature, and for --consistency the request body of /tlog-witness (add-checkpoint).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import os
import re
import sys
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # reported in `main`, so that --help works without it
    Ed25519PublicKey = None  # type: ignore[assignment,misc]

HASH = 32
TILE = 256
EMPTY_ROOT = hashlib.sha256(b"").digest()
LONGEST_TEXT = 1_000_000
LONGEST_LINE = 16_000_000
MOST_NAMED = 200
PROOF_LINE = "c2sp.org/tlog-proof@v1"
INSTANCE = "instance"
DASH = "\N{EM DASH} "
COMPLETE_UNTIL = re.compile(r"complete-until [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
CLOCKS_DIFFER = timedelta(seconds=6)  # five, and one because a cosignature states whole seconds
ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
DELETION = "threada tenant deletion\n"


class VerificationError(Exception):
    """The input is invalid. The message says what is wrong."""


class UsageError(Exception):
    """The command line is invalid, or a file is missing."""


# ----- RFC 6962: hashes and proofs -----------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def joined(hashes: list[bytes]) -> bytes:
    """Return the root over complete subtrees, largest first."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def complete(hashes: list[bytes]) -> bytes:
    """Return the root over 2**n hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """Return the root that an inclusion path leads to, or None if its length does not fit (RFC 9162, 2.1.3.2)."""
    fn, sn, current = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            current = node_hash(sibling, current)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, sibling)
        fn, sn = fn >> 1, sn >> 1
    return current if sn == 0 else None


def inclusion_holds(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Verify an inclusion proof."""
    return 0 <= index < size and root_of(leaf, index, size, path) == root


def consistency_holds(old_size: int, old_root: bytes, size: int, root: bytes, path: list[bytes]) -> bool:
    """Verify a consistency proof (RFC 9162, section 2.1.4.2)."""
    if old_size == size:
        return not path and old_root == root
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size > size or not path:
        return False
    if old_size & (old_size - 1) == 0:
        path = [old_root, *path]
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == old_root and new == root


# ----- C2SP: keys, notes, checkpoints, proofs ------------------------------------------------------------------------


def unbase64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError(f"{what} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise VerificationError(f"{what} is not canonical base64")
    return data


def hashes_in(lines: list[str], what: str) -> list[bytes]:
    found = [unbase64(line, f"a hash of {what}") for line in lines]
    if len(found) > 64 or any(len(value) != HASH for value in found):
        raise VerificationError(f"{what} holds at most 64 hashes of {HASH} bytes")
    return found


def decimal(text: str, what: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text):
        raise VerificationError(f"{what} is not a decimal number")
    return int(text)


@dataclass(frozen=True)
class Key:
    """A public key and the log that it signs: `name+id+key` (C2SP signed-note)."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Key:
        name, _, rest = text.partition("+")
        stated, _, material = rest.partition("+")
        key = unbase64(material, "the key")
        if not name or len(key) != 33 or key[0] != 1:
            raise VerificationError("a key is name+id+key, and the key is Ed25519 (type 1, 32 bytes)")
        found = cls(name, key[1:])
        if stated != found.id.hex():
            raise VerificationError(f"the key says id {stated}, but its name and key make {found.id.hex()}")
        return found

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.public).digest()[:4]

    def signed(self, text: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Checkpoint:
    """A signed tree head: name of the log, number of leaves, root hash, and the ids of the signing keys.

    `complete_until`: every receipt older than this time is among the first `size`; None in notes of earlier versions,
    which are checked for order only.
    """

    origin: str
    size: int
    root: bytes
    signed_by: str
    complete_until: datetime | None = None
    signed_at: datetime | None = None
    signed_from: int | None = None

    @property
    def tenant(self) -> str:
        return self.origin.rpartition("/")[2]

    @property
    def things(self) -> str:
        """Return the noun for the leaves of the log."""
        return "checkpoints" if self.tenant == INSTANCE else "receipts"

    @property
    def restored(self) -> int:
        """Return the number of acknowledged breaks in the origin of the log."""
        found = re.search(r"/restored-([0-9]+)/", self.origin)
        return int(found.group(1)) if found else 0

    @classmethod
    def open(cls, note: str, keys: list[Key]) -> Checkpoint:
        """Parse and verify a signed note: one of the keys for this log must have signed, and no signature may be
        invalid."""
        text, below = parts_of(note, "the checkpoint")
        origin, size, root = cls.read(text)
        if origin.endswith(f"/{INSTANCE}"):
            keys = named_keys(origin, keys)
        known = {(key.name, key.id): key for key in keys if key.name == origin}
        if not known:
            raise VerificationError(f"the checkpoint is of {origin}, and none of the keys given is for that log")
        signers = signed_by(below, text, known, "the checkpoint")
        return cls(origin, size, root, signers, time_in(text), signed_at(note, keys, origin), signed_from_in(text))

    @staticmethod
    def read(text: str) -> tuple[str, int, bytes]:
        """Return origin, size and root of a checkpoint text. Verifies no signature."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) < 3 or not all(lines):
            raise VerificationError("the checkpoint does not say origin, size and root")
        root = unbase64(lines[2], "the root of the checkpoint")
        if len(root) != HASH:
            raise VerificationError(f"the root of the checkpoint does not have {HASH} bytes")
        size = decimal(lines[1], "the size of the checkpoint")
        if size == 0 and root != EMPTY_ROOT:
            raise VerificationError("the checkpoint says that an empty log has something in it")
        return lines[0], size, root


def time_in(text: str) -> datetime | None:
    """Return the time of the line complete-until in the text of a checkpoint."""
    lines = [line for line in text.split("\n")[3:] if line.startswith("complete-until")]
    if not lines:
        return None
    if len(lines) > 1 or not COMPLETE_UNTIL.fullmatch(lines[0]):
        raise VerificationError("the line complete-until of the checkpoint cannot be read")
    return instant(lines[0].partition(" ")[2])


def signed_from_in(text: str) -> int | None:
    """Return the number in the line signed-from in the text of a checkpoint."""
    lines = [line for line in text.split("\n")[3:] if line.startswith("signed-from")]
    if not lines:
        return None
    if len(lines) > 1 or not lines[0].startswith("signed-from "):
        raise VerificationError("the line signed-from of the checkpoint cannot be read")
    return decimal(lines[0].removeprefix("signed-from "), "the number in the line signed-from")


def requires_signature(checkpoint: Checkpoint, position: bytes | None) -> bool:
    """Return True if the checkpoint says that the receipt at this position carries a signature."""
    if checkpoint.signed_from is None or position is None or not position.isdigit():
        return False
    return int(position) >= checkpoint.signed_from


def parts_of(note: str, what: str) -> tuple[str, str]:
    """Return the text of a signed note and its signature lines."""
    text, separator, below = note.rpartition("\n\n")
    if not separator or not below.endswith("\n") or any(ord(char) < 32 and char != "\n" for char in note):
        raise VerificationError(f"{what} is not a signed note")
    return text + "\n", below


def signed_by(below: str, text: str, known: dict[tuple[str, bytes], Key], what: str) -> str:
    """Return the ids of the known keys that signed, at least one, without invalid or duplicate signatures."""
    good = list(_signers(below, text, known, what))
    if len(good) != len(set(good)):
        raise VerificationError(f"a key signed {what} twice")
    if not good:
        names = ", ".join(sorted({name for name, _ in known}))
        raise VerificationError(f"no key given for {names} signed {what}")
    return ", ".join(sorted({key_id.hex() for _, key_id in good}))


def instance_name(origin: str) -> str:
    """Return the instance's name from the name of one of its logs or keys: without the last part and without
    restorations."""
    return re.sub(r"/restored-[0-9]+$", "", origin.rpartition("/")[0])


def named_keys(name: str, keys: list[Key]) -> list[Key]:
    """Return the keys of the same instance under the name `name`. The instance signs everything with one key."""
    return [Key(name, key.public) for key in keys if instance_name(key.name) == instance_name(name)]


def _signers(below: str, text: str, known: dict[tuple[str, bytes], Key], what: str) -> Iterator[tuple[str, bytes]]:
    lines = below.removesuffix("\n").split("\n")
    if len(lines) > 100:
        raise VerificationError(f"{what} has more than 100 signatures")
    for line in lines:
        name, _, material = line.removeprefix(DASH).partition(" ")
        value = unbase64(material, "a signature")
        if not line.startswith(DASH) or not name or len(value) < 5:
            raise VerificationError(f"a signature line of {what} cannot be read")
        key = known.get((name, value[:4]))
        if key is None:
            continue  # another key or a witness: ignored
        if not key.signed(text, value[4:]):
            raise VerificationError(f"the signature of key {key.id.hex()} under {what} of {key.name} does not verify")
        yield (name, value[:4])


def notes_in(text: str) -> list[str]:
    """Return the signed notes of a file with one or several concatenated notes."""
    return list(_notes(iter(text.removesuffix("\n").split("\n"))))


def notes_among(lines: Iterator[bytes]) -> Iterator[str]:
    """Yield the signed notes of concatenated notes, one at a time in constant memory."""
    return _notes(decoded(line, "a note") for line in lines)


def _notes(lines: Iterator[str]) -> Iterator[str]:
    current: list[str] = []
    signed = False
    for line in lines:
        if signed and not line.startswith(DASH):
            yield "".join(current)
            current, signed = [], False
            if not line:
                continue
        current.append(f"{line}\n")
        signed = signed or (line.startswith(DASH) and len(current) > 1 and current[-2] == "\n")
    if current:
        yield "".join(current)


# ----- C2SP tlog-tiles: hashes of a log, each verified against the checkpoint before use ------------------------------


def tile_name(level: int, number: int, width: int) -> str:
    digits = f"{number:03d}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < TILE else "")


class Tiles:
    """The tree of a checkpoint. Every returned hash was verified against the checkpoint's root first."""

    def __init__(self, read: Callable[[str], bytes | None], checkpoint: Checkpoint) -> None:
        self._read, self._checkpoint = read, checkpoint
        self._edge = self._checked_edge()
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def leaf(self, index: int) -> bytes:
        return self._entry(0, index)

    def root_at(self, size: int) -> bytes:
        """Return the root of the log when it had `size` receipts."""
        start, peaks = 0, []
        for bit in reversed(range(size.bit_length())):
            if size >> bit & 1:
                peaks.append(self._subtree(bit, start >> bit))
                start += 1 << bit
        return joined(peaks)

    def _subtree(self, level: int, position: int) -> bytes:
        tall, low = divmod(level, 8)
        first = position << low
        return complete([self._entry(tall, first + at) for at in range(1 << low)])

    def _entry(self, level: int, position: int) -> bytes:
        number, at = divmod(position, TILE)
        tile = self._tile(level, number)
        return tile[at * HASH : at * HASH + HASH]

    def _tile(self, level: int, number: int) -> bytes:
        if (self._checkpoint.size >> 8 * level) // TILE == number:
            return self._edge[level]
        kept = self._kept.get((level, number))
        if kept is None:
            name = tile_name(level, number, TILE)
            kept = self._required(name, TILE)
            if complete(_split(kept)) != self._entry(level + 1, number):
                raise VerificationError(f"{name} does not belong to the log of the checkpoint")
            self._kept[level, number] = kept
            if len(self._kept) > 1024:
                self._kept.popitem(last=False)
        return kept

    def _checked_edge(self) -> dict[int, bytes]:
        edge: dict[int, bytes] = {}
        peaks: list[bytes] = []
        for level in reversed(range((max(self._checkpoint.size.bit_length(), 1) + 7) // 8)):
            number, width = divmod(self._checkpoint.size >> 8 * level, TILE)
            if not width:
                continue
            edge[level] = self._required(tile_name(level, number, width), width)
            hashes, start = _split(edge[level]), 0
            for bit in reversed(range(8)):
                if width >> bit & 1:
                    peaks.append(complete(hashes[start : start + (1 << bit)]))
                    start += 1 << bit
        if joined(peaks) != self._checkpoint.root:
            raise VerificationError("the tiles at the right edge of the log do not lead to the root of the checkpoint")
        return edge

    def _required(self, name: str, width: int) -> bytes:
        data = self._read(name)
        if data is None:
            raise VerificationError(f"{name} is not in the evidence")
        if len(data) != width * HASH:
            raise VerificationError(f"{name} does not hold {width} hashes")
        return data


def _split(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH] for at in range(0, len(tile), HASH)]


# ----- Findings and the report ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One mismatch. `code` is stable and for programs, `message` for people."""

    code: str
    message: str
    tenant: str = ""
    sequence: int | None = None
    receipt: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = (
            ("sequence", self.sequence),
            ("receipt", self.receipt),
            ("line", self.line),
        )
        named = ", ".join(f"{what} {value}" for what, value in where if value is not None)
        return ": ".join(part for part in (self.tenant, named, self.message) if part)


@dataclass
class Report:
    """Results of all checks. `number_of_findings` also counts findings beyond the listed ones."""

    log: str = ""
    tenant: str = ""
    things: str = "receipts"
    checkpoint: dict[str, Any] = field(default_factory=dict)
    instance: dict[str, Any] = field(default_factory=dict)
    promise: dict[str, Any] = field(default_factory=dict)
    receipts: int = 0
    written_by: dict[str, int] = field(default_factory=dict)
    first_sequence: int | None = None
    last_sequence: int | None = None
    absent_between: int = 0
    against: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    number_of_findings: int = 0
    undecided: bool = False
    accepted: list[str] = field(default_factory=list)

    def begin(self, checkpoint: Checkpoint) -> None:
        self.log, self.tenant, self.things = checkpoint.origin, checkpoint.tenant, checkpoint.things
        self.checkpoint = {
            "size": checkpoint.size,
            "root": base64.b64encode(checkpoint.root).decode(),
            "signed_by": checkpoint.signed_by,
        }
        if checkpoint.complete_until:
            until = checkpoint.complete_until.isoformat(timespec="milliseconds")
            self.checkpoint["complete_until"] = until.replace("+00:00", "Z")

    def found(self, code: str, message: str, **where: Any) -> None:
        self.number_of_findings += 1
        if len(self.findings) < MOST_NAMED:
            self.findings.append(Finding(code, message, **{"tenant": self.tenant, **where}))

    def lines(self) -> Iterator[str]:
        if self.checkpoint:
            yield f"Log         {self.log}"
            yield (
                f"Checkpoint  {self.checkpoint['size']} {self.things}, root {self.checkpoint['root']}, "
                f"signed with key {self.checkpoint['signed_by']}"
            )
        if self.instance:
            yield (
                f"Instance    leaf {self.instance['index']} of {self.instance['size']} in {self.instance['log']}, "
                f"root {self.instance['root']}"
            )
        if self.receipts:
            span = ""
            if self.first_sequence is not None:
                span = f", sequences {self.first_sequence} to {self.last_sequence}"
                span += f", {self.absent_between} between them not in this file" if self.absent_between else ""
            yield f"{self.things.capitalize():<11} {self.receipts} read{span}"
        if self.written_by:
            yield f"Written by  {', '.join(f'{role} {count}' for role, count in sorted(self.written_by.items()))}"
        yield from self._promise_lines()
        for older in self.against:
            yield f"Against     the checkpoint of {older['size']} {older['things']}: {older['outcome']}"
        for finding in self.findings:
            yield f"WRONG       {finding}"
        if self.number_of_findings > len(self.findings):
            yield f"WRONG       and {self.number_of_findings - len(self.findings)} more"
        held = "CANNOT TELL" if self.undecided else "VERIFIED"
        yield held if not self.number_of_findings else f"NOT VERIFIED: {self.number_of_findings} found"

    def _promise_lines(self) -> Iterator[str]:
        if self.promise:
            yield f"Promise     for {self.promise['log']}, given {self.promise['given']}, due {self.promise['due']}"
            for receipt, outcome in self.promise["receipts"].items():
                yield f"            {receipt}: {outcome}"


class SequenceSet:
    """Set of sequence numbers, with one bit each."""

    def __init__(self, size: int) -> None:
        self._size, self._bits = size, bytearray((size + 7) // 8)

    def again(self, index: int) -> bool:
        """Add a sequence number. Return True if it was present."""
        mask = 1 << (index & 7)
        before = bool(self._bits[index >> 3] & mask)
        self._bits[index >> 3] |= mask
        return before

    def absent(self) -> Iterator[int]:
        for at, bits in enumerate(self._bits):
            if bits != 0xFF:
                yield from (
                    index for index in range(at * 8, min(at * 8 + 8, self._size)) if not bits >> (index & 7) & 1
                )

    def summarize(self, report: Report, *, complete_log: bool) -> None:
        count = sum(bits.bit_count() for bits in self._bits)
        filled = [at for at, bits in enumerate(self._bits) if bits]
        if filled:
            low, high = self._bits[filled[0]], self._bits[filled[-1]]
            report.first_sequence = filled[0] * 8 + (low & -low).bit_length() - 1
            report.last_sequence = filled[-1] * 8 + high.bit_length() - 1
            report.absent_between = report.last_sequence - report.first_sequence + 1 - count
        if complete_log:
            for index in self.absent():
                report.found("receipt_missing", "no receipt of this sequence is in the file", sequence=index)


class Order:
    """Order of the receipts in evidence: that of their ids, or that of the log if `order.txt` says so."""

    def __init__(self, source: Evidence) -> None:
        said = source.text("order.txt") if source.has("order.txt") else ""
        if said not in ("", "order: log\n"):
            raise VerificationError("order.txt names an order that this verifier does not know")
        self._of_log, self._last, self._index = bool(said), "", -1

    def check(self, receipt: str | None, position: bytes | None, report: Report, *, line: int) -> None:
        """Report a receipt that does not stand after all before it."""
        if not self._of_log:
            if receipt and receipt <= self._last:
                message = f"stands after {self._last}, which is younger or the same"
                report.found("out_of_order", message, receipt=receipt, line=line)
            self._last = receipt or self._last
        elif position is not None and position.isdigit() and len(position) < 20:
            if int(position) <= self._index:
                message = f"stands after the receipt of sequence {self._index}"
                report.found("out_of_order", message, sequence=int(position), receipt=receipt, line=line)
            self._index = max(self._index, int(position))


# ----- Checks ---------------------------------------------------------------------------------------------------------


def check_evidence(source: Evidence, keys: list[Key], options: argparse.Namespace, report: Report) -> None:
    """Verify every receipt against the leaf at its position, and every used tile against the checkpoint."""
    note = source.text("checkpoint.txt")
    checkpoint = Checkpoint.open(note, keys)
    report.begin(checkpoint)
    instance_checkpoint = check_instance_proof(source, note, checkpoint, keys, report)
    log_notes, instance_notes = (
        notes_against(options, checkpoint),
        notes_against(options, instance_checkpoint) if instance_checkpoint else [],
    )
    if options.against and not log_notes and not instance_notes:
        raise UsageError(f"{options.against} holds no checkpoint of {checkpoint.origin}")
    older = open_older_checkpoints(log_notes, options, keys, report)
    tiles = Tiles(source.tile, checkpoint)
    seen, order = SequenceSet(checkpoint.size), Order(source)
    with ExitStack() as stack:
        positions, lines = (stack.enter_context(source.lines(name)) for name in ("positions.txt", "receipts.ndjson"))
        signatures = stack.enter_context(source.lines("signatures.txt")) if source.has("signatures.txt") else None
        origins = Origins(source, keys, report, signatures, required=options.signed)
        for number, body in watched(lines):
            report.receipts = number
            receipt = identified(body, report, line=number)
            position = next(positions, None)
            order.check(receipt, position, report, line=number)
            is_same = check_place(
                body, position, tiles, seen, report, checkpoint=checkpoint, receipt=receipt, line=number
            )
            if receipt and position and position.isdigit():
                check_time(body, int(position), checkpoint, older, report, receipt=receipt, line=number)
            if is_same:
                origins.check(body, receipt=receipt, line=number, is_required=requires_signature(checkpoint, position))
            else:
                origins.skip()
        if left := sum(1 for _ in positions):
            report.found(
                "receipts_cut_off", f"{left} more positions are listed than there are receipts: cut off, or taken out"
            )
    seen.summarize(report, complete_log=options.complete)
    for old in older:
        compare(checkpoint, old, lambda old=old: tiles.root_at(old.size), report)  # type: ignore[misc]
    if instance_checkpoint and instance_notes:
        compare_by_proof(
            instance_checkpoint, open_older_checkpoints(instance_notes, options, keys, report), options, keys, report
        )


def check_instance_proof(
    source: Evidence, note: str, checkpoint: Checkpoint, keys: list[Key], report: Report
) -> Checkpoint | None:
    """Verify that the checkpoint of the evidence, byte for byte, is a leaf of the instance log.

    Returns the checkpoint of the instance log, or None if the evidence has no such proof.
    """
    if not source.has("instance.tlog-proof"):
        return None
    index, siblings, instance_note = proof_in(source.text("instance.tlog-proof"))
    instance_checkpoint = Checkpoint.open(instance_note, keys)
    if instance_checkpoint.tenant != INSTANCE or instance_name(instance_checkpoint.origin) != instance_name(
        checkpoint.origin
    ):
        raise VerificationError(
            f"instance.tlog-proof is of {instance_checkpoint.origin}, which is not the log of this instance"
        )
    root = base64.b64encode(instance_checkpoint.root).decode()
    report.instance = {
        "log": instance_checkpoint.origin,
        "index": index,
        "size": instance_checkpoint.size,
        "root": root,
    }
    if not inclusion_holds(
        leaf_hash(note.encode()), index, instance_checkpoint.size, siblings, instance_checkpoint.root
    ):
        report.found(
            "instance_proof_does_not_hold", f"its checkpoint is not leaf {index} of {instance_checkpoint.origin}"
        )
    return instance_checkpoint


def check_instance(source: Evidence, keys: list[Key], options: argparse.Namespace, report: Report) -> None:
    """Verify the instance log: its entries produce its root, and every tenant's log continues from its newest entry."""
    checkpoint = Checkpoint.open(source.text("checkpoint.txt"), keys)
    report.begin(checkpoint)
    if checkpoint.tenant != INSTANCE:
        raise VerificationError(
            f"entries.txt is under a checkpoint of {checkpoint.origin}, which is not the log of an instance"
        )
    older = older_checkpoints(options, keys, checkpoint, report)
    tree, roots = GrowingTree(), {0: EMPTY_ROOT}
    last: dict[str, tuple[int, Checkpoint]] = {}
    wanted = {old.size for old in older} | {checkpoint.size}
    with source.lines("entries.txt") as lines:
        for number, note in watched(notes_among(lines)):
            report.receipts = number
            text, below = parts_of(note, f"entry {number - 1}")
            if text.startswith(DELETION):
                last.pop(deleted_tenant(text, below, keys, checkpoint), None)
            else:
                entry = Checkpoint(*Checkpoint.read(text), "")
                last[entry.tenant] = (number - 1, entry)
            tree.append(leaf_hash(note.encode()))
            if tree.size in wanted:
                roots[tree.size] = tree.root()
    if tree.size != checkpoint.size or roots[checkpoint.size] != checkpoint.root:
        report.found(
            "root_differs",
            f"the {tree.size} entries do not make the root of the checkpoint of {checkpoint.size}: one was changed, "
            "put in or taken out",
        )
    for old in older:
        compare(checkpoint, old, lambda old=old: roots.get(old.size), report)  # type: ignore[misc]
    now = {found.tenant: found for found in current_checkpoints(source, keys, report)}
    for tenant, (index, entry) in last.items():
        check_tenant(index, entry, now.get(tenant), report)


def deleted_tenant(text: str, below: str, keys: list[Key], checkpoint: Checkpoint) -> str:
    """Return the tenant of the record of a deletion, or an empty text if the instance did not sign it."""
    name = instance_name(checkpoint.origin)
    signers = [Key(name, key.public) for key in keys if instance_name(key.name) == name]
    try:
        signed_by(below, text, {(key.name, key.id): key for key in signers}, "the record of a deletion")
        return str(json.loads(text.splitlines()[1])["tenant_id"])
    except (VerificationError, ValueError, KeyError, IndexError, TypeError):
        return ""


def current_checkpoints(source: Evidence, keys: list[Key], report: Report) -> Iterator[Checkpoint]:
    """Yield the current checkpoints of the tenants' logs according to the database. Each must be signed."""
    with source.lines("heads.txt") as lines:
        for note in notes_among(lines):
            origin = note.partition("\n")[0]
            try:
                yield Checkpoint.open(note, named_keys(origin, keys))
            except VerificationError as wrong:
                report.found("head_unusable", f"the head of {origin}: {wrong}")


def check_tenant(index: int, entry: Checkpoint, now: Checkpoint | None, report: Report) -> None:
    """Verify that the log of entry `index` still exists and continues from it."""
    named, said = {"tenant": entry.tenant}, f"entry {index} is the head of {entry.size} receipts"
    if now is None:
        report.found("tenant_dropped", f"{said}, and the tenant is not in the database any more", **named)
    elif (now.restored, now.size) < (entry.restored, entry.size):
        report.found("rolled_back", f"{said}, and the log has {now.size} now", **named)
    elif now.origin == entry.origin and now.size == entry.size and now.root != entry.root:
        report.found("forked", f"{said}, and these are not its receipts any more", **named)


class GrowingTree:
    """A tree that only appends, stored as its peaks."""

    def __init__(self) -> None:
        self.size, self._peaks = 0, []  # type: ignore[var-annotated]

    def append(self, value: bytes) -> None:
        at = self.size
        while at & 1:
            value, at = node_hash(self._peaks.pop(), value), at >> 1
        self._peaks.append(value)
        self.size += 1

    def root(self) -> bytes:
        return joined(self._peaks)


def check_place(
    body: bytes,
    position: bytes | None,
    tiles: Tiles,
    seen: SequenceSet,
    report: Report,
    *,
    checkpoint: Checkpoint,
    receipt: str | None,
    line: int,
) -> bool:
    """Verify one receipt of the evidence. Return False if these are other bytes than the sealed ones."""
    if position is None or position == b"-":
        report.found("not_sealed", "was not sealed when this evidence was made", receipt=receipt, line=line)
        return True
    index = decimal(position.decode("ascii", "replace"), f"position {line}")
    where = {"sequence": index, "receipt": receipt, "line": line}
    if index >= checkpoint.size:
        report.found("not_sealed", f"the checkpoint has {checkpoint.size} receipts, so not this one", **where)
        return True
    if seen.again(index):
        report.found("repeated", "a receipt of this sequence is in the file already", **where)
    if tiles.leaf(index) != leaf_hash(body):
        report.found("bytes_differ", "these are not the bytes that were sealed at this sequence", **where)
        return False
    return True


# ----- Signatures of receipts by the processes that wrote them --------------------------------------------------------

ROLES = {"api": "web", "mcp": "web", "console": "web", "job": "worker", "command": "command"}
"""Role of the process that writes receipts of an entry point."""
UNSIGNED, UNKNOWN_KEY = "unsigned", "unknown key"


class Origins:
    """Signatures of the receipts of evidence, in `signatures.txt`; evidence of earlier versions has none.

    Line n is `-` or `<role>+<key id> <position>/<size> <signature> <hash>…`. The hashes lead from the receipt, leaf
    `position` of a tree of `size` receipts that were written together, to its root (RFC 6962). The key of the role
    signs the lines `threada receipts/1`, tenant, `<role>+<key id>`, size and root.
    """

    def __init__(
        self, source: Evidence, keys: list[Key], report: Report, lines: Iterator[bytes] | None, *, required: bool
    ) -> None:
        self._report, self._lines, self._required = report, lines, required
        self._keys = endorsed_keys(source.text("receipt-keys.txt"), keys) if source.has("receipt-keys.txt") else {}
        self._verified: dict[tuple[str, bytes, bytes], bool] = {}

    def check(self, body: bytes, *, receipt: str | None, line: int, is_required: bool) -> None:
        """Verify the signature of the next receipt, and count it by its role.

        `is_required`: the checkpoint says that receipts of its position carry one.
        """
        text = next(self._lines or iter(()), b"-").decode("ascii", "replace")
        try:
            found = self._role(body, text)
        except VerificationError as wrong:
            if receipt in self._report.accepted:
                return
            self._report.found("origin_invalid", str(wrong), receipt=receipt, line=line)
            return
        if self._lines is not None:
            self._report.written_by[found] = self._report.written_by.get(found, 0) + 1
        is_required = is_required and receipt not in self._report.accepted
        if (self._required or is_required) and found in (UNSIGNED, UNKNOWN_KEY):
            message = "no process signed it" if found == UNSIGNED else "an unknown key signed it"
            self._report.found("unsigned", message, receipt=receipt, line=line)

    def skip(self) -> None:
        """Leave out the signature of the next receipt, whose bytes are not the sealed ones."""
        next(self._lines or iter(()), None)

    def _role(self, body: bytes, text: str) -> str:
        if text == "-":
            return UNSIGNED
        named, place, value, hashes = signature_parts(text)
        if named not in self._keys:
            return UNKNOWN_KEY
        key, until = self._keys[named]
        position, size = place
        root = root_of(leaf_hash(body), position, size, hashes)
        if root is None:
            raise VerificationError("the path of its signature does not fit its position")
        signed = f"threada receipts/1\n{self._report.tenant}\n{named}\n{size}\n{base64.b64encode(root).decode()}\n"
        what = (named, value, root)
        if what not in self._verified:
            if len(self._verified) >= 10_000:
                self._verified.clear()
            self._verified[what] = key.signed(signed, value)
        if not self._verified[what]:
            raise VerificationError(f"the signature of {named} does not verify")
        try:
            content = json.loads(body)
            entry_point, at = str(content["actor"]["entry_point"]), instant(str(content["occurred_at"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise VerificationError("it does not say by which entry point and when it was written") from None
        if ROLES.get(entry_point) != key.name:
            raise VerificationError(f"the {key.name} signed the entry point {entry_point}")
        if until is not None and at > until:
            raise VerificationError(f"the key {named} was retired before it was written")
        return key.name


def endorsed_keys(note: str, keys: list[Key]) -> dict[str, tuple[Key, datetime | None]]:
    """Return the public keys of receipts by `<role>+<key id>`, with the time of their end, from a note that one of the
    given keys signed."""
    text, below = parts_of(note, "the endorsement of the keys of receipts")
    name, *words = text.removesuffix("\n").split("\n")
    if name.rpartition("/")[2] != "receipt-keys":
        raise VerificationError("receipt-keys.txt does not endorse keys of receipts")
    known = {(key.name, key.id): key for key in named_keys(name, keys)}
    if not known:
        raise VerificationError(f"receipt-keys.txt is of {name}, and none of the keys given is of that instance")
    signed_by(below, text, known, "the endorsement of the keys of receipts")
    found: dict[str, tuple[Key, datetime | None]] = {}
    for word in words:
        vkey, at, until = word.partition("@")
        key = Key.parse(vkey)
        if key.name not in ROLES.values():
            raise VerificationError(f"receipt-keys.txt names the role {key.name}, which there is not")
        found[f"{key.name}+{key.id.hex()}"] = (key, instant(until) if at else None)
    return found


def signature_parts(text: str) -> tuple[str, tuple[int, int], bytes, list[bytes]]:
    """Return key, place, signature and hashes of a line of signatures.txt."""
    words = text.split(" ")
    if len(words) < 3:
        raise VerificationError("its signature cannot be read")
    position, slash, size = words[1].partition("/")
    place = decimal(position, "the position of its signature"), decimal(size if slash else "", "the size")
    value = unbase64(words[2], "its signature")
    if len(value) != 64 or place[0] >= place[1]:
        raise VerificationError("its signature does not have 64 bytes, or no place in its size")
    return words[0], place, value, hashes_in(words[3:], "its signature")


# ----- Logs, single receipts and older checkpoints --------------------------------------------------------------------


def check_time(
    body: bytes,
    index: int,
    checkpoint: Checkpoint,
    older: list[Checkpoint],
    report: Report,
    *,
    receipt: str,
    line: int | None = None,
) -> None:
    """Verify the time of a receipt: that of its id, not after its sealing, and not before the checkpoints before it."""
    where = {"sequence": index, "receipt": receipt, "line": line}
    if receipt in report.accepted:
        return
    if checkpoint.complete_until is not None:
        try:
            stated = instant(str(json.loads(body)["occurred_at"]))
        except (VerificationError, KeyError):
            stated = None
        of_id = time_of_id(receipt)
        if of_id is None or stated != of_id:
            report.found("time_differs", "its id is of another time than it says", **where)
            return
        if checkpoint.signed_at is not None and of_id >= checkpoint.signed_at + CLOCKS_DIFFER:
            report.found("sealed_too_early", f"is of {of_id:%Y-%m-%dT%H:%M:%SZ}, after its checkpoint", **where)
    for old in older:
        of_id = time_of_id(receipt)
        if old.complete_until is not None and of_id and index >= old.size and of_id < old.complete_until:
            report.found(
                "sealed_too_late",
                f"is of {of_id:%Y-%m-%dT%H:%M:%SZ}, and the checkpoint of {old.size} {old.things} says that the log "
                f"was complete until {old.complete_until:%Y-%m-%dT%H:%M:%SZ}",
                **where,
            )
            return


def time_of_id(receipt: str) -> datetime | None:
    """Return the time of an id, whose first 48 bits are milliseconds (UUIDv7 in TypeID form)."""
    digits = receipt.rpartition("_")[2][:10]
    if len(digits) < 10 or any(digit not in ID_DIGITS for digit in digits) or digits > "7zzzzzzzzz":
        return None
    milliseconds = 0
    for digit in digits:
        milliseconds = milliseconds * 32 + ID_DIGITS.index(digit)
    try:
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def check_log(path: Path, keys: list[Key], options: argparse.Namespace, report: Report) -> None:
    """Verify a whole log in order: its receipts produce the root of the checkpoint, and those of older checkpoints."""
    checkpoint = Checkpoint.open(text_of(options.checkpoint), keys)
    report.begin(checkpoint)
    older = older_checkpoints(options, keys, checkpoint, report)
    wanted = {old.size for old in older} | {checkpoint.size}
    roots = {0: EMPTY_ROOT}
    tree, size = GrowingTree(), 0
    with open_lines(path) as lines:
        for number, body in watched(lines):
            receipt = identified(body, report, line=number)
            report.receipts = number
            if size >= checkpoint.size:
                report.found(
                    "not_sealed",
                    f"the checkpoint has {checkpoint.size} receipts, so not this one",
                    sequence=size,
                    receipt=receipt,
                )
            if receipt:
                check_time(body, size, checkpoint, older, report, receipt=receipt, line=number)
            tree.append(leaf_hash(body))
            size = tree.size
            if size in wanted:
                roots[size] = tree.root()
    report.first_sequence, report.last_sequence = (0, size - 1) if size else (None, None)
    if size < checkpoint.size:
        message = f"the file ends here, the checkpoint has {checkpoint.size} receipts"
        report.found("receipt_missing", message, sequence=size)
    elif roots[checkpoint.size] != checkpoint.root:
        report.found(
            "root_differs",
            f"the {checkpoint.size} receipts do not make the root of the checkpoint: one was changed, moved, put in or "
            "taken out (evidence says which)",
        )
    for old in older:
        if (
            old.size <= size or old.size > checkpoint.size
        ):  # between the two sizes the file is too short, which is reported above
            compare(checkpoint, old, lambda old=old: roots[old.size], report)  # type: ignore[misc]


def check_receipt(path: Path, keys: list[Key], options: argparse.Namespace, report: Report) -> None:
    """Verify one receipt and its proof."""
    body = bytes_of(path, LONGEST_LINE).removesuffix(b"\n")  # editors add a newline; a receipt ends in a brace
    checkpoint = check_proof(text_of(options.proof), body, keys, report)
    check_consistency(keys, options, report, checkpoint)


def check_proof(text: str, body: bytes, keys: list[Key], report: Report) -> Checkpoint:
    """Verify a C2SP tlog-proof of the bytes of one receipt."""
    index, siblings, note = proof_in(text)
    checkpoint = Checkpoint.open(note, keys)
    report.begin(checkpoint)
    report.receipts, report.first_sequence, report.last_sequence = 1, index, index
    receipt = identified(body, report)
    if not inclusion_holds(leaf_hash(body), index, checkpoint.size, siblings, checkpoint.root):
        message = "the proof does not lead from these bytes to the root of the checkpoint"
        report.found("proof_does_not_hold", message, sequence=index, receipt=receipt)
    if receipt:
        check_time(body, index, checkpoint, [], report, receipt=receipt)
    return checkpoint


def proof_in(text: str) -> tuple[int, list[bytes], str]:
    """Return the index, the hashes and the checkpoint of a C2SP tlog-proof."""
    above, separator, note = text.partition("\n\n")
    lines = above.split("\n")
    if not separator or lines.pop(0) != PROOF_LINE:
        raise VerificationError(f"the proof does not begin with the line {PROOF_LINE}")
    if lines and lines[0].startswith("extra "):
        unbase64(lines.pop(0).removeprefix("extra "), "the extra data of the proof")
    if not lines or not lines[0].startswith("index "):
        raise VerificationError("the proof does not say an index")
    index = decimal(lines.pop(0).removeprefix("index "), "the index of the proof")
    return index, hashes_in(lines, "the proof"), note


def check_consistency(keys: list[Key], options: argparse.Namespace, report: Report, checkpoint: Checkpoint) -> None:
    """Verify older checkpoints against `checkpoint`, with an add-checkpoint body (C2SP tlog-witness) if the sizes
    differ."""
    compare_by_proof(checkpoint, older_checkpoints(options, keys, checkpoint, report), options, keys, report)


def compare_by_proof(
    checkpoint: Checkpoint, older: list[Checkpoint], options: argparse.Namespace, keys: list[Key], report: Report
) -> None:
    proven: dict[int, list[bytes]] = {}
    if options.consistency:
        above, _, note = text_of(options.consistency).partition("\n\n")
        first, *lines = above.split("\n")
        if not first.startswith("old "):
            raise VerificationError(f"{options.consistency} does not begin with the old size")
        newer = Checkpoint.open(note, keys)
        if (newer.origin, newer.size, newer.root) != (checkpoint.origin, checkpoint.size, checkpoint.root):
            raise VerificationError(
                f"{options.consistency} leads to another checkpoint (of {newer.size} {newer.things})"
            )
        proven[decimal(first.removeprefix("old "), "the old size")] = hashes_in(lines, "the consistency proof")
    for old in older:
        if old.size < checkpoint.size and old.size not in proven:
            raise UsageError(
                f"--consistency has to name a proof from {old.size} to {checkpoint.size} {checkpoint.things}"
            )
        if old.size > checkpoint.size or consistency_holds(
            old.size, old.root, checkpoint.size, checkpoint.root, proven.get(old.size, [])
        ):
            compare(checkpoint, old, lambda old=old: old.root, report)  # type: ignore[misc]
        else:
            compare(checkpoint, old, lambda: None, report)


def compare(checkpoint: Checkpoint, old: Checkpoint, root_then: Callable[[], bytes | None], report: Report) -> None:
    """Verify that the log of `checkpoint` continues the log of `old`."""
    if old.size > checkpoint.size:
        outcome = f"rolled back: {old.size} {old.things} were sealed then, and the log has {checkpoint.size} now"
        report.found("rolled_back", outcome)
    elif root_then() != old.root:
        outcome = f"forked: its first {old.size} {old.things} are not the ones that were sealed then"
        report.found("forked", outcome)
    elif old.complete_until and checkpoint.complete_until and checkpoint.complete_until < old.complete_until:
        outcome = "its time goes back: the older checkpoint says that the log was complete until a later time"
        report.found("time_goes_back", outcome)
    else:
        outcome = "this log continues it" if old.size < checkpoint.size else "the same"
    root = base64.b64encode(old.root).decode()
    report.against.append({"size": old.size, "root": root, "things": old.things, "outcome": outcome})


def older_checkpoints(
    options: argparse.Namespace, keys: list[Key], checkpoint: Checkpoint, report: Report
) -> list[Checkpoint]:
    """Return the checkpoints of this log in the file of --against. Each must be signed."""
    notes = notes_against(options, checkpoint)
    if options.against and not notes:
        raise UsageError(f"{options.against} holds no checkpoint of {checkpoint.origin}")
    return open_older_checkpoints(notes, options, keys, report)


def notes_against(options: argparse.Namespace, checkpoint: Checkpoint) -> list[str]:
    """Return the notes of one log in the file of --against."""
    if not options.against:
        return []
    return [
        note for note in notes_in(text_of(options.against, most=1 << 30)) if note.startswith(f"{checkpoint.origin}\n")
    ]


def open_older_checkpoints(
    notes: list[str], options: argparse.Namespace, keys: list[Key], report: Report
) -> list[Checkpoint]:
    opened_ones = []
    for note in notes:
        try:
            opened_ones.append(Checkpoint.open(note, keys))
        except VerificationError as wrong:  # noqa: PERF203  (costs nothing since Python 3.11)
            report.found("older_checkpoint_unusable", f"a checkpoint in {options.against}: {wrong}")
    return opened_ones


def identified(body: bytes, report: Report, *, line: int | None = None) -> str | None:
    """Return the id of a receipt after checking its tenant, or None if it cannot be parsed."""
    try:
        receipt = json.loads(body)
        named, tenant = str(receipt["id"]), receipt["tenant"]
    except (ValueError, KeyError, TypeError, RecursionError):
        report.found("unreadable", "this is not a receipt", line=line)
        return None
    report.accepted += accepted_in(receipt)
    if tenant != report.tenant:
        report.found("other_tenant", f"the receipt is of tenant {tenant}", receipt=named, line=line)
    return named


def accepted_in(receipt: dict[str, Any]) -> list[str]:
    """Return the receipts that an operator accepted into the log by a command although their time or signature is
    wrong."""
    try:
        if receipt["kind"] != "quarantine.accepted" or receipt["actor"]["entry_point"] != "command":
            return []
        return [str(one["receipt_id"]) for one in receipt["inputs"]["receipts"]]
    except (KeyError, TypeError):
        return []


# ----- Inclusion promises (RFC 6962, section 3.2: signed certificate timestamps) --------------------------------------


@dataclass(frozen=True)
class InclusionPromise:
    """A promise: leaves that will be in the log `origin` by `due`, by receipt."""

    origin: str
    given: str
    due: str
    leaves: dict[str, bytes]

    @classmethod
    def open(cls, note: str, key_note: str, keys: list[Key]) -> InclusionPromise:
        """Verify that a given key endorses the promise key, and that the promise key signed the promise."""
        text, below = parts_of(key_note, "the endorsement of the promise key")
        lines = text.removesuffix("\n").split("\n")
        instance, _, kind = lines[0].rpartition("/")
        if kind != "promise-key" or len(lines) != 2:
            raise VerificationError("the endorsement of the promise key does not say which it is")
        known = {(key.name, key.id): key for key in named_keys(lines[0], keys)}
        if not known:
            raise VerificationError(f"the promise is of {instance}, and none of the keys given is of that instance")
        signed_by(below, text, known, "the endorsement of the promise key")
        signer = Key.parse(lines[1])
        if signer.name != f"{instance}/promises":
            raise VerificationError(f"the key of promises is called {signer.name}, not {instance}/promises")
        text, below = parts_of(note, "the promise")
        signed_by(below, text, {(signer.name, signer.id): signer}, "the promise")
        return cls._read(text, instance)

    @classmethod
    def _read(cls, text: str, instance: str) -> InclusionPromise:
        lines = text.removesuffix("\n").split("\n")
        said = {}
        for word, line in zip(("log", "given", "due"), [*lines, "", "", ""][1:4], strict=True):
            if not line.startswith(f"{word} "):
                raise VerificationError(f"the promise does not say {word!r} where it has to")
            said[word] = line.removeprefix(f"{word} ")
        if lines[0] != f"{instance}/promises" or instance_name(said["log"]) != instance or len(lines) == 4:
            raise VerificationError("the promise is not of this instance, or promises nothing")
        for word in ("given", "due"):
            instant(said[word])
        leaves = {}
        for line in lines[4:]:
            word, receipt, value = [*line.split(" "), "", ""][:3]
            leaf = unbase64(value, "the leaf of a receipt")
            if word != "receipt" or len(leaf) != HASH or line.count(" ") != 2:
                raise VerificationError("a line of the promise is not that of a receipt")
            leaves[receipt] = leaf
        return cls(said["log"], said["given"], said["due"], leaves)


def instant(text: str) -> datetime:
    try:
        form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
        return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    except ValueError:
        raise VerificationError(f"{text!r} is not an instant") from None


def read_inclusion_promise(path: Path) -> tuple[str, str]:
    """Return the promise and the endorsement of its key: from a JSON response, or from a file with both notes."""
    text = text_of(path)
    if text.lstrip().startswith("{"):
        try:
            answer = json.loads(text)
            found = answer.get("receipt_promise", answer)
            return str(found["promise"]), str(found["promise_key"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise VerificationError(f"{path} holds no receipt_promise") from None
    notes = {note.partition("\n")[0].rpartition("/")[2]: note for note in notes_in(text)}
    if set(notes) != {"promises", "promise-key"}:
        raise VerificationError(f"{path} holds no promise with the note about its key")
    return notes["promises"], notes["promise-key"]


def signed_at(note: str, keys: list[Key], origin: str) -> datetime | None:
    """Return the time of a checkpoint's signature from its timestamped cosignature (C2SP tlog-cosignature, v1)."""
    text, below = parts_of(note, "the checkpoint")
    name = instance_name(origin)
    for key in keys:
        key_id = hashlib.sha256(name.encode() + b"\n\x04" + key.public).digest()[:4]
        for line in below.removesuffix("\n").split("\n"):
            who, _, material = line.removeprefix(DASH).partition(" ")
            value = unbase64(material, "a signature")
            if who != name or value[:4] != key_id or len(value) != 76:
                continue
            seconds = int.from_bytes(value[4:12], "big")
            if seconds < 1 << 36 and key.signed(f"cosignature/v1\ntime {seconds}\n{text}", value[12:]):
                return datetime.fromtimestamp(seconds, timezone.utc)
    return None


BROKEN = "BROKEN"
NOT_LOOKED_FOR = "not looked for: what was handed in does not hold the whole log"
NEVER_SIGNED = "not in the log, of which no one says when it was signed"


def check_inclusion_promise(options: argparse.Namespace, keys: list[Key], report: Report, stack: ExitStack) -> None:
    """Verify a promise, and its fulfilment if a log is given."""
    promise = InclusionPromise.open(*read_inclusion_promise(options.promise), keys)
    outcomes = dict.fromkeys(promise.leaves, "promised")
    report.promise = {"log": promise.origin, "given": promise.given, "due": promise.due, "receipts": outcomes}
    if options.file is None:
        return
    note, found, is_whole = leaves_in_log(options, keys, report, stack)
    checkpoint = Checkpoint.open(note, keys)
    if (checkpoint.tenant, instance_name(checkpoint.origin)) != (
        promise.origin.rpartition("/")[2],
        instance_name(promise.origin),
    ):
        raise VerificationError(f"the promise is for {promise.origin}, and this is the log {checkpoint.origin}")
    at = signed_at(note, keys, checkpoint.origin)
    for receipt, leaf in promise.leaves.items():
        outcomes[receipt] = (
            "kept: it is in the log" if leaf in found else outcome_without(promise, at, is_whole=is_whole)
        )
        if outcomes[receipt] == BROKEN:
            report.found(
                "promise_broken",
                f"was promised by {promise.due}, and the log signed at {at:%Y-%m-%dT%H:%M:%SZ} does not hold it",
                tenant=checkpoint.tenant,
                receipt=receipt,
            )
    report.undecided = set(outcomes.values()) <= {NOT_LOOKED_FOR, NEVER_SIGNED}


def outcome_without(promise: InclusionPromise, at: datetime | None, *, is_whole: bool) -> str:
    """Return the outcome for a promised receipt that is not in the log, which was signed at `at`."""
    if not is_whole:
        return NOT_LOOKED_FOR
    if at is None:
        return NEVER_SIGNED
    return BROKEN if at > instant(promise.due) else f"not due yet when the log was signed ({at:%Y-%m-%dT%H:%M:%SZ})"


def leaves_in_log(
    options: argparse.Namespace, keys: list[Key], report: Report, stack: ExitStack
) -> tuple[str, set[bytes], bool]:
    """Return the checkpoint's note, the leaves proven to be in its log, and True if those are all leaves."""
    if options.proof:
        text = text_of(options.proof)
        body = bytes_of(options.file, LONGEST_LINE).removesuffix(b"\n")
        check_proof(text, body, keys, report)
        return proof_in(text)[2], set() if report.number_of_findings else {leaf_hash(body)}, False
    if options.checkpoint:
        check_log(options.file, keys, options, report)
        with open_lines(options.file) as lines:
            leaves = {leaf_hash(body) for body in lines}
        return (
            text_of(options.checkpoint),
            set() if report.number_of_findings else leaves,
            not report.number_of_findings,
        )
    source = evidence_at(options.file, stack)
    note = source.text("checkpoint.txt")
    checkpoint = Checkpoint.open(note, keys)
    report.begin(checkpoint)
    check_instance_proof(source, note, checkpoint, keys, report)
    tiles, leaves, is_whole = Tiles(source.tile, checkpoint), set(), True
    for number in range(-(-checkpoint.size // TILE)):
        width = min(TILE, checkpoint.size - number * TILE)
        if not source.has(tile_name(0, number, width)):
            is_whole = False
            continue
        leaves |= {tiles.leaf(number * TILE + at) for at in range(width)}
    return note, leaves, is_whole


# ----- Files ----------------------------------------------------------------------------------------------------------


class Lines:
    """Lines of a binary stream without their newline, each of bounded length."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __enter__(self) -> Iterator[bytes]:
        return self._read()

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def _read(self) -> Iterator[bytes]:
        while line := self._stream.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise VerificationError(f"a line is longer than {LONGEST_LINE} bytes")
            yield line.removesuffix(b"\n")


class Evidence:
    """Files of an evidence archive, or of the folder with its unpacked content."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._folder = path if path.is_dir() else None
        self._archive: zipfile.ZipFile | None = None
        self._top = ""
        if self._folder is None:
            try:
                self._archive = stack.enter_context(zipfile.ZipFile(path))
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
                raise VerificationError(f"{path} is not a complete archive") from None
            checkpoints = [name for name in self._archive.namelist() if name.rpartition("/")[2] == "checkpoint.txt"]
            if len(checkpoints) != 1:
                raise VerificationError(f"{path} holds no checkpoint.txt, so it is not evidence")
            self._top = checkpoints[0].removesuffix("checkpoint.txt")
        elif not (path / "checkpoint.txt").is_file():
            raise UsageError(f"{path} holds no checkpoint.txt, so it is not evidence")

    def text(self, name: str) -> str:
        return decoded(self._read(name, LONGEST_TEXT), name)

    def has(self, name: str) -> bool:
        try:
            self._open(name).close()
        except VerificationError:
            return False
        return True

    def tile(self, name: str) -> bytes | None:
        try:
            return self._read(name, TILE * HASH)
        except VerificationError:
            return None

    def lines(self, name: str) -> Lines:
        return Lines(self._open(name))

    def _read(self, name: str, most: int) -> bytes:
        with self._open(name) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise VerificationError(f"{name} is larger than it can be")
        return data

    def _open(self, name: str) -> IO[bytes]:
        try:
            if self._folder is not None:
                return (self._folder / name).open("rb")
            assert self._archive is not None  # noqa: S101  (exactly one of the two is set)
            member = self._archive.getinfo(self._top + name)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotImplementedError
            return self._archive.open(member)
        except RuntimeError:  # also for encrypted files and unknown compression methods
            raise VerificationError(f"{name} is packed in a way that evidence is not") from None
        except (KeyError, OSError):
            raise VerificationError(f"{name} is not in the evidence") from None


def evidence_at(path: Path, stack: ExitStack) -> Evidence:
    if not path.is_dir() and not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not evidence: a receipt needs --proof, and a whole log needs --checkpoint")
    return Evidence(path, stack)


def open_lines(path: Path) -> Lines:
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        return Lines(gzip.open(path) if packed else path.open("rb"))  # type: ignore[arg-type]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def bytes_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise VerificationError(f"{path} is larger than it can be")
    return data


def text_of(path: Path, most: int = LONGEST_TEXT) -> str:
    return decoded(bytes_of(path, most), str(path))


def decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise VerificationError(f"{name} is not UTF-8") from None


def watched(lines: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the lines with their numbers, and show the progress on a terminal."""
    shown = sys.stderr.isatty()
    for number, line in enumerate(lines, 1):
        if shown and number % 5000 == 0:
            sys.stderr.write(f"\r{number} read")
            sys.stderr.flush()
        yield number, line
    if shown:
        sys.stderr.write("\r" + " " * 30 + "\r")


# ----- Command line ---------------------------------------------------------------------------------------------------


def keys_of(values: list[str]) -> list[Key]:
    """Parse keys from arguments, or from files with one key per line; `#` starts a comment."""
    keys = []
    for value in values:
        lines = [value]
        if "+" not in value or os.path.isfile(value):  # noqa: PTH113  (the value may be too long for Path)
            lines = [line.strip() for line in text_of(Path(value)).splitlines()]
        try:
            keys += [Key.parse(line) for line in lines if line and not line.startswith("#")]
        except VerificationError as wrong:
            raise UsageError(f"--key {value}: {wrong}") from None
    if not keys:
        raise UsageError("name the trusted key with --key; get it from the people responsible, not from the evidence")
    return keys


def parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    made = argparse.ArgumentParser(
        prog="threada_verify.py",
        usage="%(prog)s --key KEY [FILE] [options]",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "file", nargs="?", type=Path, help="evidence (.zip or folder), a receipt, or a whole log (NDJSON)"
    )
    made.add_argument("--key", action="append", default=[], help="the trusted key, or a file of keys; can be repeated")
    made.add_argument("--proof", type=Path, help="the proof (tlog-proof) of the receipt in FILE")
    made.add_argument("--checkpoint", type=Path, help="the checkpoint of the whole log in FILE")
    made.add_argument("--against", type=Path, help="an older checkpoint, or a file of several concatenated ones")
    made.add_argument("--consistency", type=Path, help="the proof from the older checkpoint to the one of --proof")
    made.add_argument("--promise", type=Path, help="a promise: the API response that contains it, or its notes")
    made.add_argument("--complete", action="store_true", help="require every sequence of the log in the evidence")
    made.add_argument("--signed", action="store_true", help="require a valid signature of every receipt of evidence")
    made.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return made


def check(options: argparse.Namespace, report: Report, stack: ExitStack) -> None:
    keys = keys_of(options.key)
    if options.file is not None and not os.path.exists(options.file):  # noqa: PTH110  (likewise)
        raise UsageError(f"{options.file}: no such file")
    if options.consistency and not options.against:
        raise UsageError("--consistency goes with --against")
    if options.promise:
        check_inclusion_promise(options, keys, report, stack)
        return
    if options.file is None:
        if not options.checkpoint or not options.against:
            raise UsageError("say which file to check (see --help)")
        checkpoint = Checkpoint.open(text_of(options.checkpoint), keys)
        report.begin(checkpoint)
        check_consistency(keys, options, report, checkpoint)
    elif options.proof:
        check_receipt(options.file, keys, options, report)
    elif options.checkpoint:
        check_log(options.file, keys, options, report)
    else:
        source = evidence_at(options.file, stack)
        (check_instance if source.has("entries.txt") else check_evidence)(source, keys, options, report)


def checked(options: argparse.Namespace) -> Report:
    """Check the file that `options` name. Raise `UsageError` for options that cannot be used."""
    report = Report()
    with ExitStack() as stack:
        try:
            check(options, report, stack)
        except (VerificationError, zipfile.BadZipFile, EOFError, gzip.BadGzipFile, zlib.error) as wrong:
            report.found("cannot_be_checked", str(wrong) or type(wrong).__name__)
    return report


def verify_complete_evidence(path: Path, keys: list[str]) -> Report:
    """Check that evidence proves every receipt of its log under one of the public `keys`. For programs."""
    options = parser().parse_args(["--complete"])
    options.file, options.key = path, keys
    return checked(options)


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["promise"]:
        arguments = ["--promise", *arguments[1:]]
    options = parser().parse_args(arguments)
    if Ed25519PublicKey is None:
        sys.stderr.write("The package `cryptography` is missing: pip install cryptography\n")
        return 2
    try:
        report = checked(options)
    except UsageError as misused:
        sys.stderr.write(f"threada_verify.py: {misused}\n")
        return 2
    if options.json:
        sys.stdout.write(
            json.dumps({"verified": not (report.number_of_findings or report.undecided), **asdict(report)}) + "\n"
        )
    else:
        sys.stdout.write("\n".join(report.lines()) + "\n")
    return 1 if report.number_of_findings else 2 if report.undecided else 0


if __name__ == "__main__":
    sys.exit(main())
