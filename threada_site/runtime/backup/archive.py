"""The file of a backup: a ZIP archive of members, a manifest with their sizes and digests, and its signature.

`manifest.json` names the other members. `manifest.note` is a signed note with the digest of the manifest. Pure, except
for the file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Self

from threada_site.kernel.files import new_file
from threada_site.kernel.json.canonical import canonical_bytes

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
NOTE: Final = "manifest.note"
BLOCK: Final = 1 << 20
_LARGEST_READ: Final = 256 << 20
"""Size of what is read into memory: the manifest, keys and checkpoints."""
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError, RuntimeError)
"""RuntimeError: a member that is encrypted, or compressed in another way."""

type Watch = Callable[[str, int], None]
"""Called with the name of a member and the number of bytes that were just read or written."""


class BackupDamaged(Exception):
    """The file is no backup, or differs from its manifest. The message names the member."""


@dataclass(slots=True)
class ArchiveWriter:
    """Members are written one after the other; their sizes and digests are collected for the manifest."""

    archive: zipfile.ZipFile
    watch: Watch
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, blocks: Iterable[bytes], *, is_compressed: bool = False) -> None:
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED
        entry.external_attr = 0o600 << 16
        with self.archive.open(entry, "w", force_zip64=True) as member:
            for block in blocks:
                member.write(block)
                digest.update(block)
                size += len(block)
                self.watch(name, len(block))
        self.members[name] = {"size": size, "sha256": digest.hexdigest()}

    def binding(self, facts: dict[str, Any]) -> bytes:
        """Return the digest of everything added so far, to which encrypted keys are bound."""
        return _binding(facts, self.members)

    def finish(self, facts: dict[str, Any], sign: Callable[[str], str] | None) -> None:
        """Write the manifest, and its signature if there is a signer."""
        manifest = canonical_bytes({**facts, "format": FORMAT, "members": self.members})
        self.archive.writestr(MANIFEST, manifest)
        if sign is not None:
            self.archive.writestr(NOTE, sign(_signed_text(manifest)))


@contextmanager
def new_archive(path: Path, watch: Watch) -> Iterator[ArchiveWriter]:
    """Write a file completely or not at all: under another name first, checked, flushed to disk, then renamed.

    The file has mode 0600. Raise `FileExistsError` if there is one already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists. A backup replaces no file.")
    with new_file(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            yield ArchiveWriter(archive, watch)
        with Backup(path, file) as written:
            written.check(lambda _name, _size: None)


class Backup:
    """A backup that is read. Use it as a context manager. Raise `BackupDamaged`.

    `file`: the open file, if it does not have the name `path` yet.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(file or path)
            self.manifest_bytes = self._small(MANIFEST)
            self.manifest: dict[str, Any] = json.loads(self.manifest_bytes)
            self.members = _members_of(self.manifest)
        except OSError:
            raise
        except (*_UNREADABLE, ValueError) as error:
            raise BackupDamaged(f"{path} is no complete backup: {error}") from None
        if self.manifest["format"] != FORMAT:
            raise BackupDamaged(f"{path} has a format that this version of Threada does not read.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    @property
    def signed_text(self) -> str:
        return _signed_text(self.manifest_bytes)

    @property
    def note(self) -> str | None:
        """The signed note, or None if the backup was not signed."""
        return self._small(NOTE).decode() if NOTE in self._archive.namelist() else None

    def binding(self, *, without: str) -> bytes:
        facts = {name: value for name, value in self.manifest.items() if name not in ("format", "members")}
        return _binding(facts, {name: entry for name, entry in self.members.items() if name != without})

    def named(self, folder: str) -> list[PurePosixPath]:
        """Return the members below `folder`, relative to it."""
        return [PurePosixPath(name).relative_to(folder) for name in self.members if name.startswith(f"{folder}/")]

    def read(self, name: str) -> bytes:
        """Return the bytes of a member. Raise `BackupDamaged`, also for one that is too large for the memory."""
        if self.members[name]["size"] > _LARGEST_READ:
            raise BackupDamaged(f"{self.path}: {name} is too large.")
        return b"".join(self.blocks(name))

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member. Raise `BackupDamaged` at the end if they are not those of the manifest."""
        expected, digest, size = self.members[name], hashlib.sha256(), 0
        try:
            with self._archive.open(name) as member:
                while block := member.read(BLOCK):
                    size += len(block)
                    if size > expected["size"]:
                        break
                    digest.update(block)
                    yield block
        except _UNREADABLE as error:
            raise BackupDamaged(f"{self.path}: {name} cannot be read: {error}") from None
        if size != expected["size"] or digest.hexdigest() != expected["sha256"]:
            raise BackupDamaged(f"{self.path}: {name} is not what the manifest says. The file was damaged or changed.")

    def check(self, watch: Watch) -> None:
        """Compare every member with the manifest. Raise `BackupDamaged`, also for members that it does not name."""
        present = [name for name in self._archive.namelist() if name not in (MANIFEST, NOTE)]
        if sorted(present) != sorted(self.members):
            raise BackupDamaged(f"{self.path}: the members are not those of the manifest.")
        for name in present:
            if PurePosixPath(name).is_absolute() or {"..", "."} & set(name.split("/")):
                raise BackupDamaged(f"{self.path}: the name {name!r} leads out of the backup.")
            for block in self.blocks(name):
                watch(name, len(block))

    def _small(self, name: str) -> bytes:
        if self._archive.getinfo(name).file_size > _LARGEST_READ:
            raise BackupDamaged(f"{self.path}: {name} is too large.")
        return self._archive.read(name)


def blocks_of(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _members_of(manifest: Any) -> dict[str, dict[str, Any]]:
    """Return the members that a manifest names. Raise `ValueError` if it is no manifest."""
    found = manifest.get("members") if isinstance(manifest, dict) else None
    if (
        not isinstance(found, dict)
        or not {"format", "made_at", "recovery_key"} <= manifest.keys()
        or not isinstance(manifest.get("schema"), dict)
        or not all(isinstance(entry, dict) and isinstance(entry.get("size"), int) for entry in found.values())
        or not all(isinstance(entry.get("sha256"), str) for entry in found.values())
    ):
        raise ValueError("the manifest has another form")
    return found


def _binding(facts: dict[str, Any], members: dict[str, dict[str, Any]]) -> bytes:
    return hashlib.sha256(b"threada backup keys\n" + canonical_bytes({"facts": facts, "members": members})).digest()


def _signed_text(manifest: bytes) -> str:
    return f"threada backup\n{hashlib.sha256(manifest).hexdigest()}\n"
