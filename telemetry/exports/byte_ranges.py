"""Byte ranges of a download (RFC 9110, section 14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from threada_site.kernel.errors import RangeNotSatisfiable

_ONE_RANGE: Final = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`, of `size` bytes in total."""

    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def asked_range(header: str | None, if_range: str | None, *, size: int, etag: str) -> ByteRange | None:
    """Return the requested byte range, or None for the whole file.

    Returns None for several ranges or another unit (a server may ignore those), and if `If-Range` names another version
    than `etag`. A date in `If-Range` never matches, since it is the weaker validator. Raises `RangeNotSatisfiable`.
    """
    found = _ONE_RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size - 1
        satisfiable = int(suffix) > 0 and size > 0
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < int(first):
            return None  # an invalid range is ignored
        satisfiable = start < size
    if not satisfiable:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        )
    return ByteRange(start, end - start + 1, size)
