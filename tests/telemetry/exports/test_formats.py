"""Every format contains the content of the hashed bytes and nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import Any

import jsonschema_rs
import pyarrow.parquet
import pytest

from telemetry.exports.formats import FORMATS, file_extension, media_type, parquet
from telemetry.exports.formats.cloudevents import event_bytes
from telemetry.exports.formats.columns import COLUMNS
from telemetry.exports.formats.csv_rows import neutralize_formula
from threada_site.kernel.json.canonical import canonical_bytes

# Attributes of the CloudEvents 1.0.2 JSON schema, for events with JSON data.
CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1},
        "datacontenttype": {"const": "application/json"},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
    "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
}


def body(number: int = 0, **changes: Any) -> bytes:
    return canonical_bytes(
        {
            "format": "threada-receipt/1",
            "id": f"rc_{number:026}",
            "kind": "thing.noted",
            "tenant": "tn_01kb4xq2abcdefghjkmnpqrstv",
            "occurred_at": "2026-01-31T09:30:00.125Z",
            "correlation_id": "abcdef0123456789",
            "subject": {"work_item_id": "wi_1", "workflow_id": "payments", "status": "ready"},
            "actor": {"principal": "pr_1", "kind": "human", "entry_point": "api"},
            "inputs": {"text": 'ü "; =1+1'},
            "evidence": {},
            "policy": {},
            "outcome": {"reason_codes": ["LARGE", "UNSURE"]},
            **changes,
        }
    )


BODIES = [body(number) for number in range(7)]


def encoded(name: str, *batches: list[bytes], compression: str = "none") -> bytes:
    encoder = FORMATS[name].new_encoder(compression)
    return b"".join([encoder.header(), *(encoder.encode(batch) for batch in batches), encoder.footer()])


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])
def test_batches_make_no_difference(name: str) -> None:
    assert encoded(name, BODIES) == encoded(name, BODIES[:1], BODIES[1:5], BODIES[5:])
    assert encoded(name, BODIES) == encoded(name, [memoryview(entry) for entry in BODIES])  # type: ignore[list-item]


def test_lines_are_the_bytes_themselves() -> None:
    assert encoded("ndjson", BODIES) == b"".join(entry + b"\n" for entry in BODIES)
    assert encoded("ndjson") == b""


def test_csv_rows_equal_the_receipt() -> None:
    header, first, *rest = csv.reader(io.StringIO(encoded("csv", BODIES).decode(), newline=""))
    assert tuple(header) == COLUMNS
    assert len(rest) == 6
    row = dict(zip(header, first, strict=True))
    assert row.pop("body_sha256") == hashlib.sha256(BODIES[0]).hexdigest()
    assert json.loads(row.pop("body")) == json.loads(BODIES[0])
    assert row == {
        "receipt_id": "rc_00000000000000000000000000", "kind": "thing.noted", "occurred_at": "2026-01-31T09:30:00.125Z",
        "actor": "pr_1", "actor_kind": "human", "work_item_id": "wi_1", "execution_id": "", "workflow_id": "payments",
        "channel_id": "", "integration_id": "", "status": "ready", "policy_version_id": "",
        "reason_codes": "LARGE UNSURE", "correlation_id": "abcdef0123456789",
    }  # fmt: skip


HARMLESS = ["", "a", "0", "12", "a=1", "a@b.example", "x-1", "'=1", '"=1"', "{}", "Ünï", "rc_1", "~=1", "#=1"]
DANGEROUS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "|cmd", "%0A=1",
    "\t=1", "\ttext", "\r=1", "\rtext", "\n=1", "\r\n+1", " =1", "   -1", " \t @x", "\x0b=1", "\x0c=1", "\x00=1",
    "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", " \uff1d1", "\ufe66x", "\ufe621", "\ufe631", "\ufe6bx", "\u22121",
    "\u00a0=1", "\u2003=1", "\u3000=1", "\ufeff=1", "\u200b=1", "\u2060=1", "\u00ad=1", "\u202e=1", "\u2066=1",
]  # fmt: skip


@pytest.mark.parametrize("cell", DANGEROUS)
def test_dangerous_cell_is_neutralized(cell: str) -> None:
    assert neutralize_formula(cell) == "'" + cell
    sent = body(subject={"status": cell}, outcome={"reason_codes": [cell]}, correlation_id=cell)
    (_, row) = csv.reader(io.StringIO(encoded("csv", [sent]).decode(), newline=""))
    assert [entry for entry in row if entry.startswith("'")] == ["'" + cell] * 3
    assert [entry for entry in row if entry.strip()[:1] in ("=", "+", "-", "@", "\uff1d")] == []


@pytest.mark.parametrize("cell", HARMLESS)
def test_a_harmless_cell_stays_as_it_is(cell: str) -> None:
    assert neutralize_formula(cell) == cell


def test_no_cell_can_be_split_at_a_semicolon() -> None:
    text = encoded("csv", [body(inputs={"text": "a;=1+1;\t@x"})]).decode()
    assert ";" not in text
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert json.loads(row[-1])["inputs"] == {"text": "a;=1+1;\t@x"}


def test_parquet_read_back_equals() -> None:
    read = pyarrow.parquet.read_table(io.BytesIO(encoded("parquet", BODIES[:3], BODIES[3:])))
    assert tuple(read.column_names) == COLUMNS
    rows = read.to_pylist()
    assert [row["body"] for row in rows] == BODIES
    assert {row["occurred_at"].isoformat() for row in rows} == {"2026-01-31T09:30:00.125000+00:00"}
    assert rows[0]["reason_codes"] == ["LARGE", "UNSURE"]
    assert [row["body_sha256"] for row in rows] == [hashlib.sha256(entry).hexdigest() for entry in BODIES]
    assert (rows[0]["workflow_id"], rows[0]["channel_id"]) == ("payments", None)
    assert pyarrow.parquet.read_table(io.BytesIO(encoded("parquet"))).num_rows == 0


def test_parquet_is_written_in_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 3)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(encoded("parquet", BODIES[:2], BODIES[2:4], BODIES[4:])))
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [4, 3]
    assert file.read().column("body").to_pylist() == BODIES


@pytest.mark.parametrize(("compression", "codec"), [("none", "SNAPPY"), ("gzip", "GZIP")])
def test_parquet_is_compressed_inside(compression: str, codec: str) -> None:
    file = pyarrow.parquet.ParquetFile(io.BytesIO(encoded("parquet", BODIES, compression=compression)))
    assert file.metadata.row_group(0).column(0).compression == codec
    assert file_extension("parquet", compression) == "parquet"
    assert media_type("parquet", compression) == "application/vnd.apache.parquet"


def test_cloud_events_have_the_shape_of_the_specification() -> None:
    shape = jsonschema_rs.Draft202012Validator(CLOUD_EVENT, validate_formats=True)
    lines = encoded("cloudevents", BODIES).splitlines()
    batch = json.loads(encoded("cloudevents-batch", BODIES[:2], BODIES[2:]))
    assert [json.loads(line) for line in lines] == batch
    assert json.loads(encoded("cloudevents-batch")) == []
    for event, stored in zip(batch, BODIES, strict=True):
        shape.validate(event)
        assert canonical_bytes(event["data"]) == stored
        assert event["bodysha256"] == hashlib.sha256(stored).hexdigest()
    assert {key: value for key, value in batch[3].items() if key not in ("data", "bodysha256")} == {
        "specversion": "1.0",
        "id": "rc_00000000000000000000000003",
        "source": "urn:threada:tenant:tn_01kb4xq2abcdefghjkmnpqrstv",
        "type": "threada.thing.noted",
        "subject": "wi_1",
        "time": "2026-01-31T09:30:00.125Z",
        "datacontenttype": "application/json",
        "correlationid": "abcdef0123456789",
    }


def test_event_contains_the_bytes_of_the_body() -> None:
    event = event_bytes(BODIES[0], sequence="7")
    assert event.endswith(b',"data":' + BODIES[0] + b"}")
    assert json.loads(event)["sequence"] == "7"
    assert "subject" not in json.loads(event_bytes(body(subject={})))


def test_compressed_file_is_served_as_gzip() -> None:
    assert [file_extension(name, "gzip") for name in ("ndjson", "csv", "cloudevents-batch")] == [
        "ndjson.gz", "csv.gz", "cloudevents.json.gz",
    ]  # fmt: skip
    assert media_type("csv", "gzip") == "application/gzip"
