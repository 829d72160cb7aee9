"""Streaming of the stored bodies of a selection: one statement for one snapshot, in batches for constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import orjson
from django.db.models import QuerySet
from psycopg import sql

from telemetry.exports.files import Packer
from telemetry.exports.formats import FORMATS
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts.filters import ReceiptFilters
from threada_site.database.router import read_connection
from threada_site.database.unit_of_work import unit_of_work

BATCH_BYTES: Final = 262_144
_FIRST_BATCH: Final = 128
_MOST_ROWS: Final = 1024
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00"
_HEADER_BYTES: Final = 19
_BEFORE_VALUE: Final = 6  # a row with one column: number of columns (2 bytes) and length of the value (4 bytes)


def selected_receipts(export: TelemetryExport) -> QuerySet[Receipt]:
    """Return the receipts of an export, oldest first."""
    rows = Receipt.objects.filter(tenant_id=export.tenant_id, id__gte=export.from_id, id__lt=export.before_id)
    return ReceiptFilters(data=export.filters, queryset=rows).qs.order_by("id")


def expected(rows: QuerySet[Receipt]) -> tuple[int, float]:
    """Return the planner's estimate for reading `rows`: number of rows and total cost. Reads no rows."""
    plan = orjson.loads(rows.values_list("body").explain(format="json"))[0]["Plan"]
    return int(plan["Plan Rows"]), float(plan["Total Cost"])


def bodies_of(rows: QuerySet[Receipt]) -> Iterator[list[bytes | memoryview]]:
    """Yield the bodies of `rows` in batches of about 256 KB, never empty, as buffers that the caller may keep.

    `COPY … (FORMAT BINARY)` returns the stored bytes unchanged; its text format would corrupt JSON with backslashes.
    libpq delivers one row per message, so that the value follows the first six bytes. Raises `DatabaseError`, and
    `RuntimeError` if fewer rows were read than the server sent.
    """
    connection = read_connection()
    with connection.wrap_database_errors, connection.cursor() as cursor:
        raw = cursor.connection.cursor()
        raw.execute("SET LOCAL statement_timeout = 0")
        with raw.copy(_copy_of(rows)) as copy:
            messages = iter(copy)
            first = bytes(next(messages, b""))
            if not first.startswith(_SIGNATURE):
                raise RuntimeError("The database did not answer COPY in its binary format.")
            seen, count = 0, _FIRST_BATCH
            batch: list[bytes | memoryview] = (
                [first[_HEADER_BYTES + _BEFORE_VALUE :]] if len(first) > _HEADER_BYTES + 2 else []
            )
            while more := [message[_BEFORE_VALUE:] for message in islice(messages, count)]:
                batch += more
                if not batch[-1]:
                    batch.pop()  # the trailer
                if batch:
                    seen += len(batch)
                    size = sum(map(len, batch))
                    yield batch
                    count = max(1, min(_MOST_ROWS, BATCH_BYTES * len(batch) // size))
                    batch = []
        if batch or seen != raw.rowcount:
            raise RuntimeError(f"The database sent {raw.rowcount} receipts, and {seen} were read.")


def stream(export: TelemetryExport) -> Iterator[bytes]:
    """Yield the bytes of an export without writing a file. Opens its own unit of work."""
    encoder = FORMATS[export.format].new_encoder(export.compression)
    packer = Packer("none" if FORMATS[export.format].is_compressed_inside else export.compression)
    with unit_of_work(export.tenant_id):
        yield packer.pack(encoder.header())
        for batch in bodies_of(selected_receipts(export)):
            yield packer.pack(encoder.encode(batch))
    yield packer.pack(encoder.footer()) + packer.rest()


def _copy_of(rows: QuerySet[Receipt]) -> sql.Composed:
    query, parameters = rows.values_list("body").query.sql_with_params()
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(
        sql.SQL(query.replace("%s", "{}")).format(*map(sql.Literal, parameters))  # type: ignore[arg-type]
    )
