"""Signed checkpoints stored outside the database, so that a rolled back or forked database is detected.

One directory per tenant, one file per day, one JSON object per line, append only. Only the newest file is needed; older
files may be archived or deleted. Sealers on one machine share the files; each machine has its own. Imports no Django.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote
from telemetry.tlog.texts import encoded
from threada_site.kernel.files import give_to_owner_of


@dataclass(frozen=True, slots=True)
class AnchoredCheckpoint:
    """The last record of a log: a checkpoint that was signed, or one that an operator acknowledged as the new start."""

    origin: str
    size: int
    root: bytes
    is_acknowledgement: bool = False
    extensions: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.origin, self.size, self.root, self.extensions)

    @property
    def signed_from(self) -> int | None:
        return self.checkpoint.signed_from

    @property
    def complete_until(self) -> datetime | None:
        return self.checkpoint.complete_until


class Anchor:
    """The files of one instance below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def is_empty(self) -> bool:
        """Return True if nothing was ever signed on this machine."""
        return not self.directory.is_dir() or not any(self.directory.iterdir())

    def last(self, tenant: str) -> AnchoredCheckpoint | None:
        """Return the last record of the log of `tenant` (its public id), or None."""
        for file in sorted(self.directory.glob(f"{tenant}/*.ndjson"), reverse=True):
            line = _last_whole_line(file)
            if line is not None:
                return _anchored(json.loads(line))
        return None

    def append_checkpoint(self, tenant: str, note: str, *, at: datetime) -> None:
        """Record that `note` is signed. The record is on disk when the method returns."""
        self._append(tenant, {"at": at.isoformat(), "note": note}, day=at)

    def append_acknowledgement(self, tenant: str, checkpoint: AnchoredCheckpoint, *, reason: str, at: datetime) -> None:
        """Record that an operator accepted `checkpoint` as the new start of the log, under the origin of that
        checkpoint."""
        entry = {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": encoded(checkpoint.root),
            "lines": list(checkpoint.extensions),
            "reason": reason,
        }
        self._append(tenant, {"at": at.isoformat(), "acknowledged": entry}, day=at)

    def _append(self, tenant: str, entry: dict[str, Any], *, day: datetime) -> None:
        folder = self.directory / tenant
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = sorted(folder.glob("*.ndjson"))
        name = f"{day:%Y-%m-%d}.ndjson"
        if files and files[-1].name > name:
            name = files[-1].name  # a clock that was set back must not hide the newest record
        append_line(folder / name, json.dumps(entry))


def append_line(path: Path, line: str, *, mode: int = 0o600) -> None:
    """Append one line and flush it to disk.

    Safe with concurrent writers; cuts off an incomplete last line left by a crash.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        if is_new:
            give_to_owner_of(descriptor, path.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            tail = os.pread(descriptor, min(size, 1 << 20), max(size - (1 << 20), 0))
            os.ftruncate(descriptor, size - len(tail) + tail.rfind(b"\n") + 1)
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _last_whole_line(path: Path) -> bytes | None:
    """Return the last line that ends in a newline, or None. Lines are short, so the last 256 KB contain one."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - (1 << 18), 0))
        whole = file.read().rpartition(b"\n")[0]
    return whole.rpartition(b"\n")[2] or None


def _anchored(entry: dict[str, Any]) -> AnchoredCheckpoint:
    if "acknowledged" in entry:
        said = entry["acknowledged"]
        lines = [said["origin"], said["size"], said["root"], *said.get("lines", ())]
        checkpoint = Checkpoint.parse("".join(f"{line}\n" for line in lines))
        return AnchoredCheckpoint(
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root,
            is_acknowledgement=True,
            extensions=checkpoint.extensions,
        )
    checkpoint = Checkpoint.parse(SignedNote.parse(entry["note"]).text)
    return AnchoredCheckpoint(checkpoint.origin, checkpoint.size, checkpoint.root, extensions=checkpoint.extensions)
