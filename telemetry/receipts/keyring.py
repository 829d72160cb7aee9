"""Keys that sign receipts, one pair per role: private halves in a file per role, public halves in one file.

    <data dir>/keys/receipt_key_web        one line in the format of the sealing key; its name is the role. Mode 0600.
    <data dir>/keys/receipt_key_worker
    <data dir>/keys/receipt_key_command
    <data dir>/keys/receipt_public_keys    a line per public key, retired ones with the time of their end

The files are made at first use by an account that may write there. `THREADA_RECEIPT_KEY` contains the private halves of
this process instead, and `THREADA_RECEIPT_PUBLIC_KEYS` all public halves, each separated by white space. Imports no
Django.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from telemetry.log.key_file import KeyFile, KeyFileProblem, SigningKey
from telemetry.receipts.signature import ROLES, ReceiptKey, ReceiptKeys, ReceiptSigner
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.texts import MalformedText
from threada_site.kernel.files import give_to_owner_of
from threada_site.kernel.keyring import ReceiptKeyProblem

PUBLIC_FILE: Final = "receipt_public_keys"
_REMEDY: Final = (
    "Restore it from your backup, or set THREADA_RECEIPT_KEY and THREADA_RECEIPT_PUBLIC_KEYS. If it is lost, make new "
    "keys: manage.py receipt_keys rotate."
)
ONE_ACCOUNT: Final = "web, worker and commands run under one account, so signatures of receipts do not tell them apart"
_LOOKED_AT_S: Final = 1.0
_GRACE: Final = timedelta(seconds=5)
"""Time for which a replaced key may still sign: processes look for a new one once a second, and clocks differ."""


def private_file(role: str) -> str:
    """Return the name of the file of a role's private key."""
    return f"receipt_key_{role}"


class ReceiptKeyring:
    """Keys of a process. Files are read again after they were replaced."""

    def __init__(self, folder: Path, *, private: str = "", public: str = "", makes: bool = True) -> None:
        """Create a keyring. `private` and `public`: contents of the variables. `makes`: make missing files."""
        self.folder = folder
        self._makes = makes
        self._given = private
        self._given_public = public
        self._files = {role: KeyFile(folder / private_file(role), what=_what(role), remedy=_REMEDY) for role in ROLES}
        self._in_environment: dict[str, SigningKey] | None = None
        self._signers: dict[str, tuple[float, ReceiptSigner]] = {}
        self._seen: object = None
        self._public = ReceiptKeys(())

    @classmethod
    def of(cls, keys: Iterable[SigningKey]) -> ReceiptKeyring:
        """Return a keyring of these private keys, which is in no file."""
        return cls(Path(os.devnull), private=" ".join(map(str, keys)))

    @classmethod
    def throw_away(cls) -> ReceiptKeyring:
        """Return a keyring of new keys, for work that is rolled back."""
        return cls.of(SigningKey.new(role) for role in ROLES)

    def private(self, role: str) -> SigningKey:
        """Return the key that signs receipts of `role`. Raise `ReceiptKeyProblem`."""
        if self._given:
            found = self._environment().get(role)
            if found is None:
                raise ReceiptKeyProblem(
                    f"THREADA_RECEIPT_KEY has no key of the role {role}, whose receipts this process writes. Run the "
                    "command where that key is, or add it: manage.py receipt_keys make prints keys."
                )
            return found
        try:
            return self._files[role].keys()[-1]
        except KeyFileProblem as error:
            if self._public_path.exists() or self._files[role].exists():
                raise ReceiptKeyProblem(str(error)) from None
        self.make()
        return self._files[role].keys()[-1]

    def signer(self, role: str) -> ReceiptSigner:
        """Return the signer of receipts of `role`. Looks once a second for another key. Raise `ReceiptKeyProblem`."""
        now = time.monotonic()
        known = self._signers.get(role)
        if known is None or now >= known[0]:
            key = self.private(role)
            known = self._signers[role] = (now + _LOOKED_AT_S, ReceiptSigner(_public_half(key), key.private_key))
        return known[1]

    def public(self) -> ReceiptKeys:
        """Return the public keys of all roles, retired ones included. Raise `ReceiptKeyProblem`."""
        if self._given_public or self._given:
            own = [ReceiptKey(_public_half(key)) for key in self._environment().values()]
            return ReceiptKeys([*own, *_parsed(self._given_public, "THREADA_RECEIPT_PUBLIC_KEYS")])
        if self._makes and not self._public_path.exists():
            self.make()
        try:
            state = self._public_path.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                self._public = _parsed(self._public_path.read_text("ascii"), str(self._public_path))
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            raise ReceiptKeyProblem(
                f"The public keys of receipts {self._public_path} cannot be read: {error}. Bring the file here, or set "
                "THREADA_RECEIPT_PUBLIC_KEYS."
            ) from None
        return self._public

    def roles(self) -> list[str]:
        """Return the roles whose private keys this process should have. Root has all files."""
        return list(self._environment()) if self._given else list(ROLES)

    def is_of_one_account(self) -> bool:
        """Return True if the same account of this machine owns the private keys of web and worker."""
        if self._given:
            return False
        try:
            return len({(self.folder / private_file(role)).stat().st_uid for role in ("web", "worker")}) == 1
        except OSError:
            return False

    def given(self) -> dict[str, str]:
        """Return the contents of the variables by the names of the files that they replace."""
        private = {private_file(role): f"{key}\n" for role, key in self._environment().items()}
        return {**private, PUBLIC_FILE: str(self.public())} if private or self._given_public else {}

    def problem(self, role: str) -> str | None:
        """Return why receipts of `role` cannot be signed so that they verify; None if they can."""
        try:
            key = _public_half(self.private(role))
            known = [each for each in self.public() if each.key == key]
        except ReceiptKeyProblem as error:
            return str(error)
        if not known:
            return (
                f"The key {key} signs receipts of the {role} and is not among the public keys. Add it to "
                f"{'THREADA_RECEIPT_PUBLIC_KEYS' if self._given else self._public_path} on every machine."
            )
        if known[0].until is not None:
            return f"The key {key} of the {role} is retired. Bring the current key here: manage.py receipt_keys."
        return None

    def make(self) -> None:
        """Make the files of a new instance. Keep what exists. Raise `ReceiptKeyProblem` if they cannot be written."""
        try:
            for role in ROLES:
                self._files[role].create(role)
            keys = [ReceiptKey(_public_half(self._files[role].keys()[-1])) for role in ROLES]
            if not self._public_path.exists():
                self._write_public(ReceiptKeys(keys))
        except KeyFileProblem as error:
            raise ReceiptKeyProblem(str(error)) from None
        except OSError as error:
            raise ReceiptKeyProblem(
                f"The keys of receipts cannot be written to {self.folder}: {error.strerror}. Let this user write "
                "there, or set THREADA_RECEIPT_KEY and THREADA_RECEIPT_PUBLIC_KEYS: manage.py receipt_keys make prints "
                "them."
            ) from None

    def rotate(self, *, now: datetime) -> ReceiptKeys:
        """Replace the private key of every role, and retire the public ones. Return all public keys.

        The new public keys are written before anything is signed with them. Missing private files are made again.
        """
        if self._given:
            raise ReceiptKeyProblem(
                "The keys of receipts are in THREADA_RECEIPT_KEY: manage.py receipt_keys make prints new ones, and "
                "docs/operations/keys.md says in which order to set them."
            )
        before = list(self.public())
        new = [SigningKey.new(role) for role in ROLES]
        public = [ReceiptKey(_public_half(key)) for key in new]
        self._write_public(ReceiptKeys([*public, *before]))
        for key in new:
            self._files[key.name].replace([key])
        until = now.astimezone(UTC) + _GRACE
        retired = [each if each.until else ReceiptKey(each.key, until) for each in before]
        self._write_public(ReceiptKeys([*public, *retired]))
        return self.public()

    @property
    def _public_path(self) -> Path:
        return self.folder / PUBLIC_FILE

    def _environment(self) -> dict[str, SigningKey]:
        if self._in_environment is None:
            try:
                found = [SigningKey.parse(word) for word in self._given.split()]
            except (MalformedText, ValueError) as error:
                raise ReceiptKeyProblem(f"THREADA_RECEIPT_KEY cannot be read: {error}.") from None
            unknown = [key.name for key in found if key.name not in ROLES]
            if unknown:
                raise ReceiptKeyProblem(
                    f"THREADA_RECEIPT_KEY has a key of {unknown[0]!r}, which is none of the roles {', '.join(ROLES)}."
                )
            self._in_environment = {key.name: key for key in found}
        return self._in_environment

    def _write_public(self, keys: ReceiptKeys) -> None:
        path = self._public_path
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            give_to_owner_of(file.fileno(), path)
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(str(keys))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


_replaced: ContextVar[ReceiptKeyring | None] = ContextVar("receipt_keyring", default=None)


@contextmanager
def signing_with(keyring: ReceiptKeyring) -> Iterator[None]:
    """Use other keys inside the block, in this thread."""
    token = _replaced.set(keyring)
    try:
        yield
    finally:
        _replaced.reset(token)


def replaced_keyring() -> ReceiptKeyring | None:
    """Return the keyring of the innermost `signing_with`, or None."""
    return _replaced.get()


def _what(role: str) -> str:
    return f"key of the {role}'s receipts"


def _public_half(key: SigningKey) -> VerifierKey:
    return key.verifier_key(key.name)


def _parsed(text: str, place: str) -> ReceiptKeys:
    try:
        return ReceiptKeys.parse(text)
    except MalformedText as error:
        raise ReceiptKeyProblem(f"{place} cannot be read: {error}.") from None
