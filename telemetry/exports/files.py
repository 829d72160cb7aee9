"""Files of exports: written once and atomically, readable by the instance only. Pure.

The path is `<folder>/<tenant>/<export>.<attempt>.<extension>`; the suffix `.part` is added while writing. Folders have
mode 0700, files 0600. In a folder that a group may write to, the group may read them and write to the folders of
tenants. Web and worker processes on different hosts need a shared folder.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from threada_site.kernel.files import is_shared

READ_BYTES: Final = 262_144
_GZIP_LEVEL: Final = 5
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
_WAITING_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True)
class Written:
    """Size and digest of a written file."""

    size: int
    sha256: str


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Packer:
    """Bytes unchanged, or as one gzip member (RFC 1952) without time and name."""

    def __init__(self, compression: str) -> None:
        self._gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW) if compression == "gzip" else None

    def pack(self, data: bytes) -> bytes:
        return data if self._gzip is None else self._gzip.compress(data)

    def rest(self) -> bytes:
        return b"" if self._gzip is None else self._gzip.flush()


class ExportFile:
    """A file being written, as a context manager: call `write` for each block of bytes, then `finish`.

    A separate thread compresses, hashes and writes, so that reading from the database continues meanwhile. Leaving the
    context without `finish` deletes the file. `write` and `finish` raise `OSError`.
    """

    def __init__(self, path: Path, *, compression: str) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._packer = Packer(compression)
        self._digest: _Digest = hashlib.sha256()
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        self._failure: BaseException | None = None
        self._is_finished = False
        self.size = 0

    def __enter__(self) -> Self:
        folder, for_group = self._path.parent, is_shared(self._path.parent.parent)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if for_group:
                folder.chmod(0o2770)
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        if for_group:
            os.fchmod(self._file, 0o640)
        self._thread = threading.Thread(target=self._work, name="export-file", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_finished:
            self._end_thread()
            os.close(self._file)
            self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if data:
            self._blocks.put(data)

    def finish(self) -> Written:
        """Flush the file to disk and give it its final name. It is never written again."""
        self._end_thread()
        if self._failure is None:
            self._emit(self._packer.rest())
            os.fsync(self._file)
        if self._failure is not None:
            raise self._failure
        os.close(self._file)
        self._is_finished = True
        self._part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return Written(self.size, self._digest.hexdigest())

    def _work(self) -> None:
        while (data := self._blocks.get()) is not None:
            if self._failure is None:
                try:
                    self._emit(self._packer.pack(data))
                except BaseException as failure:  # noqa: BLE001  (raised to whoever writes)
                    self._failure = failure

    def _emit(self, data: bytes) -> None:
        self._digest.update(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]
        self.size += len(data)

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()


def read_range(path: Path, start: int, length: int) -> Iterator[bytes]:
    """Return an iterator over `length` bytes of the file from `start`. Opens the file immediately; raises `OSError` if
    missing."""
    file = path.open("rb", buffering=0)

    def blocks() -> Iterator[bytes]:
        with file:
            file.seek(start)
            left = length
            while left > 0 and (data := file.read(min(READ_BYTES, left))):
                left -= len(data)
                yield data

    return blocks()


def delete_files(folder: Path, name: str) -> None:
    """Delete every file, including unfinished ones, whose name starts with `name` and a dot."""
    with suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            if path.name.startswith(f"{name}."):
                path.unlink(missing_ok=True)
