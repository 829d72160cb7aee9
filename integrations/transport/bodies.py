"""Reading of a response body with size limits before and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

from integrations.transport.network import UnusableAnswer

_WINDOWS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def read_body(chunks: Iterable[bytes], *, encoding: str, max_bytes: int) -> bytes:
    """Return the decoded body. `encoding` is the Content-Encoding.

    Raises `UnusableAnswer` as soon as the received or decoded bytes exceed `max_bytes`; holds at most `max_bytes` plus
    one chunk in memory.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _bounded(chunks, max_bytes)
    if encoding not in _WINDOWS:
        raise UnusableAnswer(f"The answer is encoded as {encoding[:40]!r}, which was not asked for.")
    return _inflated(_bounded(chunks, max_bytes), _WINDOWS[encoding], max_bytes)


def _bounded(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        if len(body) + len(chunk) > max_bytes:
            raise UnusableAnswer(f"The answer's body is larger than {max_bytes} bytes.")
        body += chunk
    return bytes(body)


def _inflated(packed: bytes, window: int, max_bytes: int) -> bytes:
    if not packed:
        return b""
    inflater = zlib.decompressobj(window)
    try:
        body = inflater.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise UnusableAnswer(f"The answer's body cannot be decompressed ({error}).") from None
    if len(body) > max_bytes:
        raise UnusableAnswer(f"The answer's body decompresses to more than {max_bytes} bytes.")
    if not inflater.eof:
        raise UnusableAnswer("The answer's compressed body is cut off.")
    return body
