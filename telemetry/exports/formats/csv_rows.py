"""CSV (RFC 4180) without formula injection. Pure.

Every cell is quoted. A cell that a spreadsheet might evaluate is prefixed with an apostrophe: one that begins, after
any white space or invisible characters, with `= + - @`, their full-width or small forms, or one that begins with TAB,
CR or LF (OWASP, "CSV Injection"). The body is the same JSON value with semicolons written as `\\u003b`, since
spreadsheets of some languages split cells there. Its digest is that of the stored bytes.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from telemetry.exports.formats.columns import COLUMNS, row_of
from telemetry.exports.formats.encoder import Bodies
from threada_site.kernel.clock import rfc3339

# Unicode white space, control characters and zero-width characters that spreadsheets skip.
_UNSEEN: Final = r"\s\x00-\x1f\x7f-\xa0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
_UNSEEN_TOO: Final = r"\u2060-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
_SIGNS: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212\u207a\u207b\u207c\u208a\u208b\u208c"
_DANGEROUS: Final = re.compile(rf"[\t\r\n]|[{_UNSEEN}{_UNSEEN_TOO}]*[{_SIGNS}|%]")


def neutralize_formula(cell: str) -> str:
    """Return `cell`, prefixed with an apostrophe if a spreadsheet might evaluate it."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


class CsvEncoder:
    """Encoder of a header line, then one receipt per line."""

    def header(self) -> bytes:
        return _written([COLUMNS])

    def encode(self, bodies: Bodies) -> bytes:
        return _written([_cells(bytes(body)) for body in bodies])

    def footer(self) -> bytes:
        return b""


def _cells(body: bytes) -> tuple[str, ...]:
    row = row_of(body)
    flat = row._replace(
        occurred_at=rfc3339(row.occurred_at),  # type: ignore[arg-type]
        reason_codes=" ".join(row.reason_codes),  # type: ignore[arg-type]
        body=row.body.decode().replace(";", "\\u003b"),  # type: ignore[arg-type]
    )
    return tuple("" if value is None else neutralize_formula(str(value)) for value in flat)


def _written(lines: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()
