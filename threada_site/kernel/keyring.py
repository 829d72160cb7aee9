"""The instance's keys for secrets at rest (Fernet: AES-128-CBC, HMAC-SHA256). The first key encrypts, all keys decrypt.

Keys come from `THREADA_SECRETS_KEY` (separated by white space), or from a file with one key per line. The file is read
again after a change, so that running processes follow a key rotation without a restart. Imports no Django.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from threada_site.kernel.files import give_to_owner_of

SHORTEST_KEY: Final = 32


class Undecryptable(Exception):
    """No key decrypts the value."""


class KeyringProblem(Undecryptable):
    """There is no usable key. The message says what to do."""


class ReceiptKeyProblem(Exception):
    """A key of receipts is missing, unreadable, readable by others or not a known one. The message says what to do."""


@dataclass(frozen=True, slots=True)
class EncryptedSecret:
    """Encrypted bytes, and the id of the key."""

    token: bytes
    key_id: str


class Keyring:
    """Encrypts and decrypts. Thread-safe."""

    def __init__(self, read: Callable[[], tuple[object, Sequence[str]]]) -> None:
        """Create a keyring. `read` returns the keys, current one first, and a mark that changes with the keys."""
        self._read = read
        self._mark: object = None
        self._fernets: list[Fernet] = []
        self._ids: list[str] = []
        self._lock = threading.Lock()

    @property
    def key_ids(self) -> list[str]:
        """Return the fingerprints of the keys, current one first."""
        with self._lock:
            self._renew()
            return list(self._ids)

    def encrypt(self, plain: bytes) -> EncryptedSecret:
        with self._lock:
            self._renew()
            return EncryptedSecret(self._fernets[0].encrypt(plain), self._ids[0])

    def decrypt(self, token: bytes) -> bytes:
        """Return the decrypted bytes. Raises `Undecryptable`."""
        with self._lock:
            self._renew()
            many = MultiFernet(self._fernets)
        try:
            return many.decrypt(token)
        except InvalidToken:
            raise Undecryptable from None

    def is_current(self, token: bytes) -> bool:
        """Return True if the first key decrypts the token."""
        with self._lock:
            self._renew()
            first = self._fernets[0]
        try:
            first.decrypt(token)
        except InvalidToken:
            return False
        return True

    def _renew(self) -> None:
        mark, texts = self._read()
        if mark == self._mark and self._fernets:
            return
        if not texts:
            raise KeyringProblem("There is no key for secrets. Set THREADA_SECRETS_KEY, or restore its file.")
        keys = [_fernet_key(text) for text in texts]
        self._fernets = [Fernet(key) for key in keys]
        self._ids = [hashlib.sha256(b"threada secrets key " + key).hexdigest()[:16] for key in keys]
        self._mark = mark


def keys_in(text: str) -> list[str]:
    """Return the distinct keys in a variable or file, separated by white space."""
    return list(dict.fromkeys(text.split()))


def file_source(path: Path) -> Callable[[], tuple[object, Sequence[str]]]:
    """Return a function that reads a key file when it has changed."""
    last: list[tuple[object, Sequence[str]]] = []

    def read() -> tuple[object, Sequence[str]]:
        try:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if not last or last[0][0] != mark:
                last[:] = [(mark, keys_in(path.read_text("ascii")))]
        except (OSError, UnicodeDecodeError):
            raise KeyringProblem(f"The keys for secrets cannot be read from {path}.") from None
        return last[0]

    return read


def write_keys(path: Path, keys: Sequence[str]) -> None:
    """Replace the key file atomically, with mode 0600, or that of the file if its group reads it and others do not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        give_to_owner_of(file.fileno(), path)
        if path.exists() and not path.stat().st_mode & 0o007:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o640)
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _fernet_key(text: str) -> bytes:
    """Return the text if it is a Fernet key, else a key derived from the text, which needs at least 32 characters."""
    if len(text) < SHORTEST_KEY:
        raise KeyringProblem(f"A key for secrets is shorter than {SHORTEST_KEY} characters.")
    try:
        if len(base64.b64decode(text, altchars=b"-_", validate=True)) == 32:
            return text.encode()
    except ValueError:
        pass
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"threada secrets at rest").derive(text.encode())
    return base64.urlsafe_b64encode(derived)
