"""Apache Parquet, written by row groups. Pure. Imports pyarrow when a file is written, because the package is large."""

from __future__ import annotations

from typing import Any, Final

from telemetry.exports.formats.columns import COLUMNS, Row, row_of
from telemetry.exports.formats.encoder import Bodies
from threada_site.kernel.extras import require_extra

ROW_GROUP_ROWS: Final = 20_000
ROW_GROUP_BYTES: Final = 16_000_000
_CODECS: Final = {"none": "snappy", "gzip": "gzip"}


class ParquetEncoder:
    """Encoder of one row per receipt: `occurred_at` as timestamp (ms, UTC), `reason_codes` as a list, `body` as stored
    bytes."""

    def __init__(self, compression: str = "none") -> None:
        require_extra("parquet", use="The format parquet")
        import pyarrow as pa
        from pyarrow import parquet

        self._arrow = pa
        text = pa.string()
        special = {
            "occurred_at": pa.timestamp("ms", tz="UTC"),
            "reason_codes": pa.list_(text),
            "body": pa.binary(),
        }
        self._schema = pa.schema([(name, special.get(name, text)) for name in COLUMNS])
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), self._schema, compression=_CODECS[compression]
        )
        self._rows: list[Row] = []
        self._size = 0

    def header(self) -> bytes:
        return b""

    def encode(self, bodies: Bodies) -> bytes:
        self._rows += [row_of(bytes(body)) for body in bodies]
        self._size += sum(map(len, bodies))
        if len(self._rows) >= ROW_GROUP_ROWS or self._size >= ROW_GROUP_BYTES:
            self._write_group()
        return self._sink.drain()

    def footer(self) -> bytes:
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._sink.drain()

    def _write_group(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [
            self._arrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._size = [], 0


class _Sink:
    """A write-only file object that returns the bytes written since the last call of `drain`."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def drain(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
