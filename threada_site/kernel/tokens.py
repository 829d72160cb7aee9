"""Format of a credential: `thr_`, 43 random characters, 6 of checksum, all of [0-9A-Za-z].

The checksum (CRC-32 in base 62, as in GitHub's tokens) allows to refuse mistyped or invented tokens without a
look-up, and helps secret scanners. https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import Final

PREFIX: Final = "thr_"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(rf"thr_([0-9A-Za-z]{{{_RANDOM_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})")

_JWT: Final = re.compile(r"[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*")
MOST_OF_JWT: Final = 16_384
"""Longest JWT that is read, in bytes."""


def new_token() -> str:
    """Return a new token with 256 bits of randomness."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return PREFIX + body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Return True if `token` has the format and checksum of a Threada token."""
    match = _FORM.fullmatch(token)
    return match is not None and _checksum(match[1]) == match[2]


def has_form_of_jwt(token: str) -> bool:
    """Return True if `token` has the three parts of a signed JWT and is not too long. Nothing is decoded."""
    return len(token) <= MOST_OF_JWT and _JWT.fullmatch(token) is not None


def may_be_accepted(token: str) -> bool:
    """Return True if `token` has one of the two accepted forms: a Threada token, or a JWT."""
    return is_well_formed(token) or has_form_of_jwt(token)


def digest(token: str) -> bytes:
    """Return the SHA-256 of a token, which is stored instead. Tokens are random, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    number, characters = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        characters = _ALPHABET[index] + characters
    return characters
