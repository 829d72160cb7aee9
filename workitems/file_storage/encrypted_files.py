"""Files encrypted with a key of their own: AES-256-GCM, block by block. Pure.

Format: `version (1) | nonce (12) | ciphertext | tag (16)`. Each key encrypts one file. Whoever destroys the key has
removed the file from every storage, backup and copy.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

BLOCK: Final = 65_536
KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE: Final = 12
_TAG: Final = 16


class FileDamagedError(Exception):
    """Error for a stored file that was changed, cut or encrypted with another key."""


def new_file_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def encrypted(blocks: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the blocks of the encrypted file."""
    nonce = secrets.token_bytes(_NONCE)
    encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
    yield _VERSION + nonce
    for block in blocks:
        yield encryptor.update(block)
    yield encryptor.finalize() + encryptor.tag


def decrypted(file: IO[bytes], key: bytes) -> Iterator[bytes]:
    """Yield the blocks of the decrypted file. Raise `FileDamagedError`, at the end for changed bytes.

    Nothing that was yielded may be used before the iterator has ended.
    """
    head = file.read(len(_VERSION) + _NONCE)
    if len(head) != len(_VERSION) + _NONCE or head[:1] != _VERSION:
        raise FileDamagedError
    decryptor = Cipher(AES(key), GCM(head[1:])).decryptor()
    rest = b""
    while block := file.read(BLOCK):
        rest += block
        if len(rest) > _TAG:
            yield decryptor.update(rest[:-_TAG])
            rest = rest[-_TAG:]
    if len(rest) != _TAG:
        raise FileDamagedError
    try:
        yield decryptor.finalize_with_tag(rest)
    except InvalidTag:
        raise FileDamagedError from None
