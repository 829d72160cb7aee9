"""PEM texts (RFC 7468) of certificates and private keys, as secrets hold them. Pure.

The line breaks of a text may be missing, as after pasting it into a field of one line, or be written as `\\n`.
"""

from __future__ import annotations

import re
from typing import Final

_BEGIN: Final = "-----BEGIN "
_PRINTABLE: Final = re.compile(r"[\t\r\n -~]*")
_BREAK: Final = re.compile(r"\s|\\[nr]")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_WIDTH: Final = 64


def is_pem(text: str) -> bool:
    """Return True if a text of several lines may be a secret: printable ASCII with a PEM block."""
    return _BEGIN in text and _PRINTABLE.fullmatch(text) is not None


def pem_blocks(text: str) -> list[tuple[str, str]]:
    """Return the label (`CERTIFICATE`, `PRIVATE KEY`) and the text of each block. What is between blocks is left out.

    Raises `ValueError`, without a part of the text, for a block that does not end or is not Base64.
    """
    found = []
    for block in text.split(_BEGIN)[1:]:
        label, _, rest = block.partition("-----")
        body, end, _ = rest.partition(f"-----END {label}-----")
        body = _BREAK.sub("", body)
        if not end or not _BASE64.fullmatch(body):
            raise ValueError("has a PEM block that does not end, is encrypted or is not Base64")
        lines = [body[start : start + _WIDTH] for start in range(0, len(body), _WIDTH)]
        found.append((label, "\n".join([f"{_BEGIN}{label}-----", *lines, f"-----END {label}-----", ""])))
    return found
