"""The file of signing keys, which only the sealer reads.

One key per line, in the format of Go's `note` package and its tools: `PRIVATE+KEY+name+id+base64(type, seed)`. The name
is that of the instance; each tenant's log is signed under its own origin with the same key. Usually there is one line.
During a key rotation there are two, and both sign. Imports no Django.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.tlog.note import ED25519, VerifierKey, checked_name
from telemetry.tlog.texts import MalformedText, decoded, encoded
from threada_site.kernel.files import give_to_owner_of

_PREFIX: Final = "PRIVATE+KEY+"


class KeyFileProblem(Exception):
    """The key file is missing, unreadable, or readable by others. The message says what to do."""


class SigningKey:
    """One signing key under the name of the instance."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        self.name = checked_name(name)
        self.private_key = private_key
        self._public = private_key.public_key().public_bytes_raw()

    @classmethod
    def new(cls, name: str) -> SigningKey:
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, line: str) -> SigningKey:
        """Parse one line. Raises `MalformedText`."""
        name, plus, rest = line.removeprefix(_PREFIX).partition("+")
        key_id, second_plus, material = rest.partition("+")
        if not line.startswith(_PREFIX) or not plus or not second_plus:
            raise MalformedText("a line of the key file is PRIVATE+KEY+name+id+key")
        raw = decoded(material, what="a private key")
        if len(raw) != 33 or raw[0] != ED25519:
            raise MalformedText("a private key is not an Ed25519 key (type 1, 32 bytes)")
        found = cls(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        if found.verifier_key(name).key_id.hex() != key_id:
            raise MalformedText("the id of a private key does not follow from its name and key")
        return found

    def __str__(self) -> str:
        material = encoded(bytes([ED25519]) + self.private_key.private_bytes_raw())
        return f"{_PREFIX}{self.name}+{self.verifier_key(self.name).key_id.hex()}+{material}"

    def verifier_key(self, origin: str) -> VerifierKey:
        """Return the public key under the name of a log."""
        return VerifierKey(origin, self._public)


class KeyFile:
    """The file at `path` with mode 0600. It is replaced as a whole and never edited in place.

    `what` and `remedy`: noun and last sentence of error messages.
    """

    def __init__(self, path: Path, *, what: str = "sealing key", remedy: str = "Restore it from your backup.") -> None:
        self.path = path
        self._what = f"The {what} {path}"
        self._remedy = remedy
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[SigningKey, ...] = ()

    def exists(self) -> bool:
        return self.path.exists()

    def keys(self) -> tuple[SigningKey, ...]:
        """Return the current signing keys; the one that stays after a rotation is last.

        Reads the file again after it was replaced. Raises `KeyFileProblem`.
        """
        try:
            state = self.path.stat()
        except FileNotFoundError:
            raise KeyFileProblem(f"{self._what} is missing. {self._remedy}") from None
        except OSError as error:
            raise KeyFileProblem(f"{self._what} cannot be read: {error}") from None
        if state.st_mode & 0o077:
            raise KeyFileProblem(f"{self._what} can be read by others. chmod 600 it.")
        seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        if seen != self._seen:
            try:
                lines = self.path.read_text().split()
                self._keys = tuple(SigningKey.parse(line) for line in lines)
            except (OSError, ValueError) as error:
                raise KeyFileProblem(f"{self._what} cannot be read: {error}") from None
            self._seen = seen
        if not self._keys:
            raise KeyFileProblem(f"{self._what} is empty. {self._remedy}")
        return self._keys

    def create(self, name: str) -> None:
        """Create the first key unless the file exists. Atomic, also if two processes start at the same time."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._written([SigningKey.new(name)])
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()

    def begin_rotation(self) -> tuple[SigningKey, SigningKey]:
        """Add a new key that signs alongside the old one. Return both. Continues a rotation that was not finished."""
        keys = self.keys()
        if len(keys) == 1:
            keys = (keys[0], SigningKey.new(keys[0].name))
            self.replace(list(keys))
        return keys[0], keys[-1]

    def finish_rotation(self) -> None:
        """Remove the old key, so that only the newest one signs. Checkpoints still contain the old public key."""
        self.replace([self.keys()[-1]])

    def replace(self, keys: list[SigningKey]) -> None:
        """Replace all keys of the file; make it if it is missing."""
        self.keep_public_halves()
        self._written(keys).replace(self.path)

    def held(self) -> list[VerifierKey]:
        """Return the public halves of keys that were replaced here, and of those that replaced them before."""
        try:
            return [VerifierKey.parse(line) for line in self._held.read_text().split()]
        except FileNotFoundError:
            return []

    def keep_public_halves(self) -> None:
        """Add the public halves of the current keys to the list of those that this machine had."""
        with suppress(KeyFileProblem):
            known = self.held()
            current = [key.verifier_key(key.name) for key in self.keys()]
            if not set(current) <= set(known):
                self._written(list(dict.fromkeys([*known, *current])), self._held).replace(self._held)

    @property
    def _held(self) -> Path:
        return self.path.with_name(f"{self.path.name}.held")

    def _written(self, keys: Iterable[SigningKey | VerifierKey], path: Path | None = None) -> Path:
        path = path or self.path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            give_to_owner_of(file.fileno(), self.path)
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        return temporary
