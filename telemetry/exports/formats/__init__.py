"""Export formats. Each encodes the stored bodies of receipts, and nothing else, into a file. Pure.

All content of a file is read from the hashed bytes, so that no format can contain more than was sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from telemetry.exports.formats.cloudevents import CloudEventBatchEncoder, CloudEventLinesEncoder
from telemetry.exports.formats.csv_rows import CsvEncoder
from telemetry.exports.formats.encoder import Bodies, Encoder
from telemetry.exports.formats.ndjson import NdjsonEncoder
from telemetry.exports.formats.parquet import ParquetEncoder

__all__ = ["COMPRESSIONS", "FORMATS", "Bodies", "Encoder", "Format", "file_extension", "media_type"]

COMPRESSIONS: Final = ("none", "gzip")


@dataclass(frozen=True, slots=True)
class Format:
    """One format: name, file extension and media type.

    `is_compressed_inside`: gzip applies to the pages of the format, never to the whole file.
    """

    name: str
    extension: str
    media_type: str
    new_encoder: Callable[[str], Encoder]
    is_compressed_inside: bool = False


FORMATS: Final = MappingProxyType(
    {
        form.name: form
        for form in (
            Format("ndjson", "ndjson", "application/x-ndjson", lambda _: NdjsonEncoder()),
            Format("csv", "csv", "text/csv; charset=utf-8; header=present", lambda _: CsvEncoder()),
            Format("parquet", "parquet", "application/vnd.apache.parquet", ParquetEncoder, is_compressed_inside=True),
            Format("cloudevents", "cloudevents.ndjson", "application/x-ndjson", lambda _: CloudEventLinesEncoder()),
            Format(
                "cloudevents-batch",
                "cloudevents.json",
                "application/cloudevents-batch+json",
                lambda _: CloudEventBatchEncoder(),
            ),
        )
    }
)


def file_extension(format_name: str, compression: str) -> str:
    """Return the extension of the file name, without the leading dot."""
    form = FORMATS[format_name]
    return f"{form.extension}.gz" if _is_wrapped(form, compression) else form.extension


def media_type(format_name: str, compression: str) -> str:
    """Return the media type of a file.

    A compressed file is served as gzip, because ranges count the bytes of the file.
    """
    form = FORMATS[format_name]
    return "application/gzip" if _is_wrapped(form, compression) else form.media_type


def _is_wrapped(form: Format, compression: str) -> bool:
    return compression == "gzip" and not form.is_compressed_inside
