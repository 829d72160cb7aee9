"""Signatures of receipts by the role of the process that wrote them. Pure.

One Ed25519 signature covers the receipts of one role that one statement writes. They are the leaves of an RFC 6962 tree
in the order in which they were written, so that each receipt carries what verifies it alone: the column `signature`,
one line of words separated by single spaces:

    <role>+<key id> <position>/<size> <base64 of the signature> <base64 of a hash of the inclusion path>…

The signed bytes are the lines below, each ended by a line feed. The id of a key is that of a C2SP signed note whose
name is the role.

    threada receipts/1
    <public id of the tenant>
    <role>+<key id>
    <size>
    <base64 of the root>

A public key is a word `<role>+<key id>+<base64 of 1 and the key>`, followed by `@<RFC 3339>` if it was retired:
receipts with a later time are not valid under it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.tlog.hashing import leaf_hash, node_hash
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.proofs import inclusion_root
from telemetry.tlog.texts import MalformedText, decimal, decoded, encoded
from threada_site.kernel.clock import rfc3339

ROLES: Final = ("web", "worker", "command")
ROLE_OF: Final = {"api": "web", "mcp": "web", "console": "web", "job": "worker", "command": "command"}
"""Role of the process that writes receipts of an entry point."""
_FIRST_LINE: Final = "threada receipts/1"
_MOST_HASHES: Final = 64
_MOST_VERIFIED: Final = 10_000


class ReceiptSigner:
    """Signs receipts of a role with its private key."""

    def __init__(self, key: VerifierKey, private: Ed25519PrivateKey) -> None:
        """Create a signer. `key`: the public half, whose name is the role."""
        self._named = _named(key)
        self._private = private

    def sign(self, bodies: Sequence[bytes], *, tenant: str) -> list[str]:
        """Return the signature of each body, in their order. `tenant` is a public id."""
        root, paths = _tree([leaf_hash(body) for body in bodies])
        value = encoded(self._private.sign(_signed_bytes(tenant, self._named, len(bodies), root)))
        return [
            " ".join((self._named, f"{position}/{len(bodies)}", value, *path)) for position, path in enumerate(paths)
        ]


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """A public key of a role. `until`: time of its retirement."""

    key: VerifierKey
    until: datetime | None = None

    @classmethod
    def parse(cls, word: str) -> Self:
        """Parse a public key. Raise `MalformedText`."""
        text, at, until = word.partition("@")
        key = VerifierKey.parse(text)
        if key.name not in ROLES:
            raise MalformedText(f"the role of a key of receipts is one of {', '.join(ROLES)}, not {key.name}")
        try:
            ends = datetime.fromisoformat(until) if at else None
        except ValueError:
            ends = None
        if at and (ends is None or ends.tzinfo is None):
            raise MalformedText("the end of a key of receipts is an RFC 3339 time")
        return cls(key, ends)

    def __str__(self) -> str:
        return f"{self.key}@{rfc3339(self.until)}" if self.until else str(self.key)


class ReceiptKeys:
    """Public keys of all roles, by role and id."""

    def __init__(self, keys: Iterable[ReceiptKey]) -> None:
        self._keys = {_named(each.key): each for each in keys}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse words separated by white space. Raise `MalformedText`."""
        return cls(ReceiptKey.parse(word) for word in text.split())

    def __str__(self) -> str:
        return "".join(f"{key}\n" for key in self._keys.values())

    def __iter__(self) -> Any:
        return iter(self._keys.values())

    def __bool__(self) -> bool:
        return bool(self._keys)

    def named(self, name: str) -> ReceiptKey | None:
        """Return the key `<role>+<key id>`, or None."""
        return self._keys.get(name)


class OriginState(StrEnum):
    """Result of checking the signature of a receipt."""

    AUTHENTIC = "authentic"
    UNSIGNED = "unsigned"
    INVALID = "invalid"


class Origin(NamedTuple):
    """State of a receipt's signature, the role that wrote it (None unless authentic), and what is wrong with it.

    `is_key_known`: False if the receipt is invalid because none of the given keys has the id that it names.
    """

    state: OriginState
    role: str | None = None
    problem: str = ""
    is_key_known: bool = True


type Verified = dict[tuple[bytes, bytes, bytes], bool]
"""Results of signatures by key, signed bytes and signature."""


class SignedBody(NamedTuple):
    """Stored bytes of a receipt, and its signature; empty if it has none."""

    body: bytes
    signature: str


def origins_of(receipts: Iterable[SignedBody], *, tenant: str, keys: ReceiptKeys) -> list[Origin]:
    """Return the origin of each receipt of a tenant (a public id), in their order.

    A receipt is authentic if a public key that was not retired at its `occurred_at` signed its bytes for this tenant,
    and if its `entry_point` is one of the key's role. One signature is verified once, whatever number of receipts it
    covers.
    """
    verified: Verified = {}
    return [origin_of(receipt, tenant, keys, verified) for receipt in receipts]


def origin_of(receipt: SignedBody, tenant: str, keys: ReceiptKeys, verified: Verified) -> Origin:
    """Return the origin of one receipt (`origins_of`). `verified`: results of signatures, which it adds to."""
    if not receipt.signature:
        return Origin(OriginState.UNSIGNED)
    try:
        signed = _Parsed.parse(receipt.signature)
        content = orjson.loads(receipt.body)
        entry_point, at = content["actor"]["entry_point"], datetime.fromisoformat(content["occurred_at"])
        role = ROLE_OF[entry_point]
    except MalformedText as error:
        return Origin(OriginState.INVALID, problem=str(error))
    except (ValueError, KeyError, TypeError):
        return Origin(OriginState.INVALID, problem="the stored bytes are not a receipt")
    known = keys.named(signed.key)
    if known is None:
        return Origin(OriginState.INVALID, problem=f"no key {signed.key} is known", is_key_known=False)
    root = inclusion_root(leaf_hash(receipt.body), signed.position, signed.size, signed.path)
    statement = None if root is None else _signed_bytes(tenant, signed.key, signed.size, root)
    if statement is None or not _verifies(known, statement, signed.value, verified):
        return Origin(OriginState.INVALID, problem=f"the signature of {signed.key} does not verify")
    if known.key.name != role:
        return Origin(OriginState.INVALID, problem=f"the {known.key.name} signed the entry point {entry_point}")
    if known.until is not None and at > known.until:
        return Origin(OriginState.INVALID, problem=f"the key {signed.key} was retired on {rfc3339(known.until)}")
    return Origin(OriginState.AUTHENTIC, known.key.name)


def _verifies(known: ReceiptKey, statement: bytes, value: bytes, verified: Verified) -> bool:
    what = (known.key.public_key, statement, value)
    if what not in verified:
        if len(verified) >= _MOST_VERIFIED:
            verified.clear()
        verified[what] = known.key.signed(statement.decode(), value)
    return verified[what]


class _Parsed(NamedTuple):
    """Words of a signature."""

    key: str
    position: int
    size: int
    value: bytes
    path: list[bytes]

    @classmethod
    def parse(cls, text: str) -> _Parsed:
        words = text.split(" ")
        if len(words) < 3 or len(words) > 3 + _MOST_HASHES:
            raise MalformedText("a signature of receipts is a key, a position, a signature and hashes")
        key, place, value, *hashes = words
        position, slash, size = place.partition("/")
        found = cls(
            key,
            decimal(position, what="the position of a signature of receipts"),
            decimal(size if slash else "", what="the size of a signature of receipts"),
            decoded(value, what="a signature of receipts"),
            [decoded(each, what="a hash of a signature of receipts") for each in hashes],
        )
        if found.position >= found.size or len(found.value) != 64 or any(len(each) != 32 for each in found.path):
            raise MalformedText("a signature of receipts has 64 bytes, its hashes 32, and its position is in its size")
        return found


def _named(key: VerifierKey) -> str:
    return f"{key.name}+{key.key_id.hex()}"


def _signed_bytes(tenant: str, key: str, size: int, root: bytes) -> bytes:
    return f"{_FIRST_LINE}\n{tenant}\n{key}\n{size}\n{encoded(root)}\n".encode()


def _tree(leaves: list[bytes]) -> tuple[bytes, list[list[str]]]:
    """Return the root, and the inclusion path of each leaf in base64."""
    paths: list[list[str]] = [[] for _ in leaves]
    level, width = leaves, 1
    while len(level) > 1:
        texts = [encoded(value) for value in level]
        for position, path in enumerate(paths):
            sibling = (position // width) ^ 1
            if sibling < len(level):
                path.append(texts[sibling])
        pairs = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = [*pairs, level[-1]] if len(level) % 2 else pairs
        width *= 2
    return level[0], paths
