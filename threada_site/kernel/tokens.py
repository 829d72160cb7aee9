"""The form of a credential: `thr_`, 43 random characters, 6 of checksum, all of [0-9A-Za-z].

The checksum (CRC-32 in base 62, as GitHub's tokens do) lets a mistyped or invented token be refused without a look-up,
and lets secret scanners tell tokens from noise. https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/
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


def new_token() -> str:
    """A fresh token with 256 bits of randomness."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return PREFIX + body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Whether `token` could have been issued by anybody's Threada."""
    match = _FORM.fullmatch(token)
    return match is not None and _checksum(match[1]) == match[2]


def digest(token: str) -> bytes:
    """What is stored in place of a token: its SHA-256, 32 bytes. Tokens are random, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    number, characters = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        characters = _ALPHABET[index] + characters
    return characters
