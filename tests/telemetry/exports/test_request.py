from __future__ import annotations

import io
import sys
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from telemetry.exports.bodies import BATCH_BYTES, stream
from telemetry.exports.download import open_download
from telemetry.exports.request import create_export, new_export
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import _receipt_rows, record
from tests.factories import acting_system
from tests.workitems.office import Office
from threada_site.database.unit_of_work import current_tenant_id, unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.models import Tenant

AWKWARD = [
    "back\\slash and \\n and \\N and \\.",
    "line\nbreak\r\ttab\x01\x1f",
    "ü \u2028 \u2029 \U0001f600 \ufeff",
    "%s {} {0} %(x)s ''; DROP TABLE",
    '"quoted" \\"twice\\"',
]


def record_all(tenant: Tenant, texts: list[str], **subject: Any) -> None:
    with unit_of_work(tenant.id):
        for text in texts:
            entry = Entry(kind="thing.noted", subject=Subject(**subject), inputs={"text": text})
            record(entry, ctx=acting_system(tenant))


def exported(tenant: Tenant, filters: dict[str, str] | None = None) -> bytes:
    with unit_of_work(tenant.id):
        export = create_export(filters or {}, ctx=acting_system(tenant))
    return downloaded(export)


def downloaded(export: TelemetryExport) -> bytes:
    return b"".join(open_download(export).content)


def bodies(tenant: Tenant, **only: Any) -> list[bytes]:
    with unit_of_work(tenant.id):
        return [bytes(row.body) for row in Receipt.objects.filter(**only).order_by("id")]


def settle_clock() -> None:
    """Wait for the next millisecond, since a window ends before the current one."""
    import time

    time.sleep(0.003)


def test_it_is_byte_for_byte_what_was_hashed(tenant: Tenant) -> None:
    record_all(tenant, AWKWARD)
    settle_clock()
    expected = b"".join(body + b"\n" for body in bodies(tenant))
    assert exported(tenant) == expected
    assert current_tenant_id() is None


def test_its_own_receipt_is_not_in_it(tenant: Tenant) -> None:
    first = exported(tenant)
    assert b"telemetry.exported" not in first
    settle_clock()
    assert exported(tenant).count(b'"kind":"telemetry.exported"') == 1


def test_every_download_is_the_same(office: Office) -> None:
    office.create()
    settle_clock()
    api = office.api("ada")
    export = api.post("/telemetry/exports", {"filters": {"workflow_id": "payments"}}).json()
    first = api.get(export["download_url"])
    assert first.headers["Content-Type"] == "application/x-ndjson"
    assert export["export_id"] in first.headers["Content-Disposition"]
    content = b"".join(first.streaming_content)
    office.create()
    assert b"".join(api.get(export["download_url"]).streaming_content) == content
    stored = bodies(office.tenant, workflow="payments")
    assert len(stored) == 4  # the workflow, its overlay, both items
    assert content == b"".join(body + b"\n" for body in stored[:3])
    assert api.get(f"/telemetry/exports/{export['export_id']}").json() == export


def test_an_export_ends_in_the_past_whatever_is_asked_for(tenant: Tenant) -> None:
    future = {"created_before": rfc3339(clock.now() + timedelta(days=1))}
    with unit_of_work(tenant.id):
        export = create_export(future, ctx=acting_system(tenant))
        ahead = create_export({"created_after": future["created_before"], **future}, ctx=acting_system(tenant))
    first = downloaded(export)
    settle_clock()
    record_all(tenant, ["later"])
    assert downloaded(export) == first
    assert downloaded(ahead) == b""


@pytest.mark.parametrize(
    "filters",
    [{"status": "{}"}, {"status": "%s"}, {"workflow_id": "payments"}, {"kind": "thing.noted", "status": "ready"}],
)
def test_filters_are_values_and_nothing_else(tenant: Tenant, filters: dict[str, str]) -> None:
    record_all(tenant, ["a"], status="{}")
    record_all(tenant, ["b"], status="%s")
    record_all(tenant, ["c"], workflow="payments", status="ready")
    settle_clock()
    columns = {{"workflow_id": "workflow"}.get(name, name): value for name, value in filters.items()}
    assert exported(tenant, filters) == b"".join(body + b"\n" for body in bodies(tenant, **columns))


def test_another_tenants_receipts_are_not_in_it(tenant: Tenant, other_tenant: Tenant) -> None:
    record_all(other_tenant, ["theirs"])
    record_all(tenant, ["ours"])
    settle_clock()
    assert b"theirs" not in exported(tenant)


def fill(tenant: Tenant, count: int) -> None:
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        rows = [_receipt_rows(Entry(kind="thing.noted", inputs={"text": "x" * 500}), ctx=ctx)[0] for _ in range(count)]
        Receipt.objects.bulk_create(rows, batch_size=1000)  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_export(tenant: Tenant) -> None:
    peaks = {}
    for count in (500, 8000):
        fill(tenant, count)
        settle_clock()
        with unit_of_work(tenant.id):
            export = new_export({}, ctx=acting_system(tenant))
        size, largest = 0, 0
        tracemalloc.start()
        for batch in stream(export):
            size += len(batch)
            largest = max(largest, len(batch))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert largest < 2 * BATCH_BYTES
    assert size > 6_000_000
    assert peaks[8000] < peaks[500] + 500_000


def test_a_reader_who_goes_away_leaves_the_connection_usable(tenant: Tenant) -> None:
    fill(tenant, 1000)
    settle_clock()
    with unit_of_work(tenant.id):
        export = new_export({}, ctx=acting_system(tenant))
    reading = stream(export)
    assert [next(reading), next(reading)[:1]] == [b"", b"{"]
    reading.close()
    assert current_tenant_id() is None
    assert connection.is_usable()
    assert b"".join(stream(export)).count(b"\n") >= 1000


class _Output:
    def __init__(self) -> None:
        self.buffer = io.BytesIO()

    def write(self, text: str) -> int:
        return self.buffer.write(text.encode())

    def flush(self) -> None: ...


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> bytes:
    output = _Output()
    monkeypatch.setattr(sys, "stdout", output)
    call_command("export_telemetry", *arguments)
    monkeypatch.undo()
    return output.buffer.getvalue()


def test_the_command_writes_receipts_alone(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    record_all(tenant, AWKWARD)
    settle_clock()
    expected = b"".join(body + b"\n" for body in bodies(tenant))
    assert command(monkeypatch, "--tenant", "acme") == expected
    later = rfc3339(clock.now())
    settle_clock()
    record_all(tenant, ["later"])
    settle_clock()
    assert command(monkeypatch, "--tenant", "acme", "--from", later).count(b'"text":"later"') == 1
    assert b'"text":"later"' not in command(monkeypatch, "--tenant", "acme", "--to", later)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tenant", "nowhere"], "no tenant 'nowhere'"),
        (["--tenant", "acme", "--from", "yesterday"], "created_after"),
        (["--tenant", "acme", "--from", "2026-01-01T00:00:00Z", "--to", "2026-06-01T00:00:00Z"], "31 days"),
    ],
)
def test_command_reports_errors(
    tenant: Tenant, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("export_telemetry", *arguments)
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
