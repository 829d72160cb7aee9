"""Signed notes with Ed25519 (https://c2sp.org/signed-note): text, signatures, and keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from telemetry.tlog.texts import MalformedText, decoded, encoded

ED25519: Final = 0x01
MOST_SIGNATURES: Final = 100
LONGEST_NOTE: Final = 1_000_000
_DASH: Final = "\N{EM DASH} "


class UntrustedNote(ValueError):
    """No known key signed the note, or a signature of a known key is invalid."""


class NoKnownSigner(UntrustedNote):
    """No known key signed the note."""


def checked_name(name: str) -> str:
    """Return `name` if it is a valid key name: not empty, without Unicode spaces, plus signs and control characters."""
    if not name or any(char.isspace() or char == "+" or ord(char) < 0x20 for char in name):
        raise MalformedText(f"{name!r} cannot name a key")
    return name


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: name, key id and signature bytes."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"{_DASH}{self.name} {encoded(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and its name, written `name+id+key` (a "vkey")."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """Return the first four bytes of SHA-256 over name, newline, signature type and key."""
        material = self.name.encode() + b"\n" + bytes([ED25519]) + self.public_key
        return hashlib.sha256(material).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a vkey. Raises `MalformedText`, also if the id does not match name and key."""
        name, plus, rest = text.partition("+")
        stated, second_plus, material = rest.partition("+")
        if not plus or not second_plus:
            raise MalformedText("a verifier key is a name, an id and a key, joined by +")
        key = decoded(material, what="the key of a verifier key")
        if len(key) != 33 or key[0] != ED25519:
            raise MalformedText("the verifier key is not an Ed25519 key (type 1, 32 bytes)")
        found = cls(checked_name(name), key[1:])
        if stated != found.key_id.hex():
            raise MalformedText(f"the verifier key says id {stated}, its name and key make {found.key_id.hex()}")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encoded(bytes([ED25519]) + self.public_key)}"

    def signed(self, text: str, value: bytes) -> bool:
        """Return True if `value` is a valid signature of the note text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(value, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key and its name."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.verifier_key = VerifierKey(checked_name(name), private_key.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """Return the signature of a note text."""
        key = self.verifier_key
        return Signature(key.name, key.key_id, self._private_key.sign(checked_text(text).encode()))


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text that ends in a newline, and its signatures by known and unknown keys."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: str | bytes) -> Self:
        """Parse a note without verifying it. Raises `MalformedText`."""
        whole = _decoded_utf8(raw)
        text, separator, below = whole.rpartition("\n\n")
        if not separator or not below.endswith("\n"):
            raise MalformedText("a signed note is text, an empty line, and signature lines that end in newlines")
        lines = below.removesuffix("\n").split("\n")
        if len(lines) > MOST_SIGNATURES:
            raise MalformedText(f"the note has more than {MOST_SIGNATURES} signatures")
        return cls(checked_text(f"{text}\n"), tuple(_signature(line) for line in lines))

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"

    def verified_by(self, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Return the known keys that signed the note, at least one.

        Ignores signatures of unknown keys, as the specification requires (key rotation and witnesses depend on it).
        Raises `UntrustedNote` if no known key signed, or if any signature of a known key is invalid or duplicated.
        """
        known = {(key.name, key.key_id): key for key in keys}
        good: dict[tuple[str, bytes], VerifierKey] = {}
        for signature in self.signatures:
            identity = (signature.name, signature.key_id)
            key = known.get(identity)
            if key is None:
                continue
            if identity in good:
                raise UntrustedNote(f"{key.name} signed twice with key {key.key_id.hex()}")
            if not key.signed(self.text, signature.value):
                raise UntrustedNote(f"the signature of {key.name} with key {key.key_id.hex()} does not verify")
            good[identity] = key
        if not good:
            raise NoKnownSigner("no key that is known here signed the note")
        return tuple(good.values())


def sign(text: str, signers: Sequence[Signer]) -> SignedNote:
    """Return a note of `text` signed by every signer."""
    if not signers:
        raise ValueError("a signed note needs a signer")
    return SignedNote(checked_text(text), tuple(signer.sign(text) for signer in signers))


def notes_in(text: str) -> list[SignedNote]:
    """Parse a file of one or several concatenated notes. Raises `MalformedText`.

    The text of the notes must not contain empty lines; checkpoints satisfy this.
    """
    notes, current, is_signed = [], "", False
    for line in text.splitlines(keepends=True):
        if is_signed and not line.startswith(_DASH):
            notes.append(SignedNote.parse(current))
            current, is_signed = "", False
        if current or line != "\n":
            is_signed = is_signed or (line.startswith(_DASH) and current.endswith("\n\n"))
            current += line
    return [*notes, SignedNote.parse(current)] if current else notes


def checked_text(text: str) -> str:
    """Return `text` if it is a valid note text: ends in a newline, no other control characters below U+0020."""
    if not text.endswith("\n") or any(ord(char) < 0x20 and char != "\n" for char in text):
        raise MalformedText("a note's text ends in a newline and holds no other control characters")
    return text


def _decoded_utf8(raw: str | bytes) -> str:
    if len(raw) > LONGEST_NOTE:
        raise MalformedText(f"the note is longer than {LONGEST_NOTE} bytes")
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedText("the note is not UTF-8") from None


def _signature(line: str) -> Signature:
    name, space, material = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise MalformedText("a signature line is a dash, a name and a signature")
    value = decoded(material, what="a signature")
    if len(value) < 5:
        raise MalformedText("a signature holds a key id of four bytes and the signature itself")
    return Signature(checked_name(name), value[:4], value[4:])
