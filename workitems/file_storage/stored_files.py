"""Files in the storage: written once, read as a whole and checked, deleted."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Final, Protocol

import structlog
from django.core.files.base import File
from django.core.files.storage import Storage, storages

from threada_site.kernel import errors
from workitems.file_storage.encrypted_files import BLOCK, FileDamagedError, decrypted, encrypted

STORAGE: Final = "attachments"
_IN_MEMORY: Final = 1024 * 1024

log = structlog.get_logger("threada.attachments")


class FileMismatchError(Exception):
    """Error for a stored file that is not the one that was uploaded; the message says how."""


class Expected(Protocol):
    """Digest and size of the bytes that were uploaded."""

    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """Copy of a stored file with the digest and size that it should have. It can be read several times."""

    file: IO[bytes]
    size: int

    def blocks(self) -> Iterable[bytes]:
        """Yield the file from its beginning."""
        self.file.seek(0)
        while block := self.file.read(BLOCK):
            yield block


def write_file(path: str, blocks: Iterable[bytes], key: bytes) -> None:
    """Write a new file, encrypted with `key`. Raise `AttachmentUnavailable`."""
    try:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as whole:
            for block in encrypted(blocks, key):
                whole.write(block)
            whole.seek(0)
            saved = _storage().save(path, File(whole, name=path))
    except Exception as failure:
        log.exception("attachment_not_written", path=path)
        raise errors.AttachmentUnavailable from failure
    if saved != path:
        delete_file(saved)
        raise errors.AttachmentUnavailable("The storage has a file of this name already. Upload the file again.")


def open_checked(path: str, key: bytes, expected: Expected) -> CheckedFile:
    """Return a copy of a file after reading and checking all of it.

    Raise `FileMismatchError` for a missing or changed file, `AttachmentUnavailable` if the storage does not answer.
    """
    copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (returned; it is deleted once nobody refers to it)
    digest, size = hashlib.sha256(), 0
    try:
        with closing(_storage().open(path, "rb")) as stored:
            for block in decrypted(stored, key):  # type: ignore[arg-type]
                size += len(block)
                if size > expected.size:
                    raise FileMismatchError("The stored file is larger than the one that was uploaded.")
                digest.update(block)
                copy.write(block)
    except FileNotFoundError:
        raise FileMismatchError("The stored file no longer exists.") from None
    except FileDamagedError:
        raise FileMismatchError("The stored file was changed after it was uploaded.") from None
    except FileMismatchError:
        raise
    except Exception as failure:
        log.exception("attachment_not_read", path=path)
        raise errors.AttachmentUnavailable from failure
    if digest.hexdigest() != expected.sha256 or size != expected.size:
        raise FileMismatchError("The stored file is not the one that was uploaded: its digest differs.")
    return CheckedFile(copy, size)


def read_stored(path: str) -> bytes:
    """Return a file as it is stored, encrypted. Raise `OSError` or the error of the storage."""
    with closing(_storage().open(path, "rb")) as stored:
        return bytes(stored.read())


def discard_file(path: str) -> None:
    """Delete a file, if it exists, before it is written again. Raise `AttachmentUnavailable`."""
    try:
        delete_file(path)
    except Exception as failure:
        log.exception("attachment_not_deleted", path=path)
        raise errors.AttachmentUnavailable from failure


def delete_file(path: str) -> None:
    """Delete a file, if it exists. Raise the error of the storage."""
    _storage().delete(path)


def _storage() -> Storage:
    return storages[STORAGE]
