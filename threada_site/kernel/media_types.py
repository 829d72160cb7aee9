"""Media types of files that people attach: known ones, file names, and the bytes that files begin with. Pure.

The list is closed. It has no type that a browser executes (HTML, SVG, XML, scripts).
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

LONGEST_NAME: Final = 150


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type: endings of file names, and the bytes at the beginning of a file.

    `begins` are alternatives of pairs of offset and bytes. A type without them is text: UTF-8 without control
    characters.
    """

    name: str
    label: str
    endings: tuple[str, ...]
    begins: tuple[tuple[tuple[int, bytes], ...], ...] = ()

    @property
    def is_text(self) -> bool:
        return not self.begins

    def fits(self, head: bytes) -> bool:
        """Return True if a file with these first bytes can have the type. Texts are checked as a whole elsewhere."""
        if self.is_text:
            return True
        return any(all(head[at : at + len(part)] == part for at, part in parts) for parts in self.begins)


_ZIP: Final = (((0, b"PK\x03\x04"),),)
_OLE: Final = (((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),),)
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_OPEN: Final = "application/vnd.oasis.opendocument"

KNOWN: Final[Mapping[str, MediaType]] = {
    known.name: known
    for known in (
        MediaType("application/pdf", "PDF", ("pdf",), (((0, b"%PDF-"),),)),
        MediaType("image/png", "PNG", ("png",), (((0, b"\x89PNG\r\n\x1a\n"),),)),
        MediaType("image/jpeg", "JPEG", ("jpg", "jpeg"), (((0, b"\xff\xd8\xff"),),)),
        MediaType("image/gif", "GIF", ("gif",), (((0, b"GIF87a"),), ((0, b"GIF89a"),))),
        MediaType("image/webp", "WebP", ("webp",), (((0, b"RIFF"), (8, b"WEBP")),)),
        MediaType("image/tiff", "TIFF", ("tif", "tiff"), (((0, b"II*\x00"),), ((0, b"MM\x00*"),))),
        MediaType("text/plain", "Text", ("txt", "text", "log", "md")),
        MediaType("text/csv", "CSV", ("csv",)),
        MediaType("application/json", "JSON", ("json",)),
        MediaType("application/zip", "ZIP", ("zip",), _ZIP),
        MediaType(f"{_OFFICE}.wordprocessingml.document", "DOCX", ("docx",), _ZIP),
        MediaType(f"{_OFFICE}.spreadsheetml.sheet", "XLSX", ("xlsx",), _ZIP),
        MediaType(f"{_OFFICE}.presentationml.presentation", "PPTX", ("pptx",), _ZIP),
        MediaType(f"{_OPEN}.text", "ODT", ("odt",), _ZIP),
        MediaType(f"{_OPEN}.spreadsheet", "ODS", ("ods",), _ZIP),
        MediaType("application/msword", "DOC", ("doc",), _OLE),
        MediaType("application/vnd.ms-excel", "XLS", ("xls",), _OLE),
    )
}


class UnusableFileError(Exception):
    """A file that cannot be attached. `values` are those of the text about `reason`, which the caller shows."""

    def __init__(self, reason: Literal["control_bytes", "not_utf8", "name", "type", "content"], **values: str) -> None:
        super().__init__(reason)
        self.reason, self.values = reason, values


class TextCheck:
    """Check of a text file, block by block: UTF-8 without control characters other than white space."""

    _CONTROL: Final = bytes(set(range(32)) - {9, 10, 12, 13})

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def add(self, block: bytes) -> None:
        """Raise `UnusableFileError` if the block contains bytes that no text has."""
        if len(block.translate(None, self._CONTROL)) != len(block):
            raise UnusableFileError("control_bytes")
        self._decode(block, is_last=False)

    def finish(self) -> None:
        self._decode(b"", is_last=True)

    def _decode(self, block: bytes, *, is_last: bool) -> None:
        try:
            self._decoder.decode(block, is_last)
        except UnicodeDecodeError:
            raise UnusableFileError("not_utf8") from None


def type_of(name: str, declared: str, *, allowed: Iterable[str]) -> MediaType:
    """Return the type of a file by its name, which must agree with the declared type if that is known.

    Raise `UnusableFileError`.
    """
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    known = KNOWN.get(declared.partition(";")[0].strip().lower())
    found = known if known and ending in known.endings else None
    if found is None and (known is None or known.is_text):
        found = next((each for each in KNOWN.values() if ending in each.endings), None)
    if known is not None and found is None:
        raise UnusableFileError("name", type=known.name, ending=known.endings[0])
    if found is None or found.name not in allowed:
        raise UnusableFileError("type", endings=endings_of(allowed))
    return found


def endings_of(allowed: Iterable[str]) -> str:
    """Return the endings of file names of these types, for people and for input elements: `.pdf, .png`."""
    return ", ".join(f".{ending}" for name in allowed if name in KNOWN for ending in KNOWN[name].endings)


def clean_name(sent: str) -> str:
    """Return a file name without folders, control and invisible characters, of at most 150 characters.

    The ending is kept. The result is never empty and does not begin with a dot.
    """
    last = unicodedata.normalize("NFC", sent).replace("\\", "/").rpartition("/")[2]
    plain = "".join(character if character.isprintable() else " " for character in last)
    name = " ".join(plain.split()).strip(". ") or "file"
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 10:
        return name[:LONGEST_NAME].strip(". ")
    return f"{stem[: LONGEST_NAME - len(ending) - 2].strip('. ')}….{ending}"
