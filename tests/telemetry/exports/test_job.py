"""Exports by jobs: statuses, progress, files, resumed downloads, faults."""

from __future__ import annotations

import gzip
import os
import random
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from telemetry import sweeps
from telemetry.exports import job as export_job
from telemetry.exports import request as exports
from telemetry.exports.job import make_export
from telemetry.exports.request import create_export
from telemetry.lifecycle import EXPORT, ExportStatus
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from tests.factories import acting_system
from tests.jobs import queued_jobs, run_jobs
from tests.telemetry.exports.test_request import bodies, fill, record_all, settle_clock
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.errors import TransitionNotAllowed
from threada_site.tenancy.models import Tenant

LONG_AGO = 10 * 365 * 86_400


@pytest.fixture(autouse=True)
def by_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make every export a job, and keep the beat thread out of the test's transaction."""
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", -1)
    monkeypatch.setattr(export_job, "BEAT_S", 600.0)
    monkeypatch.setattr(settings, "THREADA_EXPORT_DIR", tmp_path / "exports")


def files() -> list[str]:
    return sorted(path.name for path in settings.THREADA_EXPORT_DIR.rglob("*") if path.is_file())


def requested(tenant: Tenant, filters: dict[str, str] | None = None, **options: Any) -> TelemetryExport:
    with unit_of_work(tenant.id):
        return create_export(filters or {}, ctx=acting_system(tenant), **options)


def again(export: TelemetryExport) -> TelemetryExport:
    with unit_of_work(export.tenant_id):
        return TelemetryExport.objects.get(id=export.id)


def change(export: TelemetryExport, **columns: Any) -> None:
    with unit_of_work(export.tenant_id):
        TelemetryExport.objects.filter(id=export.id).update(**columns)


def kinds(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        found = Receipt.objects.filter(kind__startswith="telemetry.").order_by("id")
        return list(found.values_list("kind", flat=True))


def test_the_lifecycle_allows_exactly_this() -> None:
    allowed = {
        ("requested", "running"), ("requested", "ready"), ("requested", "cancelled"), ("running", "ready"),
        ("running", "failed"), ("running", "cancelled"), ("running", "requested"), ("running", "running"),
        ("ready", "expired"), ("ready", "cancelled"), ("failed", "requested"), ("failed", "cancelled"),
    }  # fmt: skip
    assert {(a.value, b.value) for a in ExportStatus for b in ExportStatus if EXPORT.allows(a, b)} == allowed


def test_job_writes_the_export(office: Office) -> None:
    office.create()
    settle_clock()
    api = office.api("ada")
    answer = api.post("/telemetry/exports", {})
    export = answer.json()
    assert (answer.status_code, export["status"], answer.headers["Retry-After"]) == (202, "requested", "1")
    assert api.get(export["download_url"]).json()["reason_code"] == "export_not_ready"
    assert api.get(export["download_url"]).headers["Retry-After"] == "1"
    assert run_jobs().count("telemetry.make_export") == 1
    answer = api.get(f"/telemetry/exports/{export['export_id']}")
    made = answer.json()
    assert "Retry-After" not in answer.headers
    download = api.get(export["download_url"])
    content = b"".join(download.streaming_content)
    assert (made["status"], made["rows"], made["size"]) == ("ready", content.count(b"\n"), len(content))
    assert download.headers["ETag"] == f'"{made["sha256"]}"'
    assert download.headers["Content-Length"] == str(len(content))
    assert kinds(office.tenant)[-2:] == ["telemetry.exported", "telemetry.export_made"]
    (recorded,) = office.bodies("telemetry.export_made")
    assert recorded["outcome"] == {"rows": made["rows"], "sha256": made["sha256"], "size": made["size"]}
    assert [entry["export_id"] for entry in api.get("/telemetry/exports").json()["data"]] == [export["export_id"]]


@pytest.mark.parametrize("file_format", ["ndjson", "csv", "parquet", "cloudevents", "cloudevents-batch"])
def test_every_format_as_a_file_as_at_once_and_by_the_command(
    tenant: Tenant, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telemetry.exports.bodies import stream

    fill(tenant, 300)
    settle_clock()
    filters = {"kind": "thing.noted"}
    packed, plain = (requested(tenant, filters, file_format=file_format, compression=name) for name in ("gzip", "none"))
    for export in (packed, plain):
        make_export(export.id, ctx=acting_system(tenant))
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", 1000)
    at_once = requested(tenant, filters, file_format=file_format)
    data = exports.path_of(again(plain)).read_bytes()
    assert again(plain).rows == 300
    assert b"".join(stream(plain)) == data
    if file_format == "parquet":
        assert at_once.status == "requested"
    else:
        assert gzip.decompress(exports.path_of(again(packed)).read_bytes()) == data
        assert exports.path_of(at_once).read_bytes() == data


def test_files_are_for_the_instance_alone(tenant: Tenant) -> None:
    export = requested(tenant)
    make_export(export.id, ctx=acting_system(tenant))
    path = exports.path_of(again(export))
    assert files() == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_later_commits_are_not_in_the_download(tenant: Tenant) -> None:
    """The receipt has an id inside the window, but is committed after the export."""
    early = ids.new_uuid()
    settle_clock()
    export = requested(tenant)
    make_export(export.id, ctx=acting_system(tenant))
    before = exports.path_of(again(export)).read_bytes()
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.late"), ctx=acting_system(tenant))
        late = Receipt.objects.get(kind="thing.late")
        Receipt(**{**{f.attname: getattr(late, f.attname) for f in Receipt._meta.fields}, "id": early}).save(
            force_insert=True
        )
    assert export.from_id < early < export.before_id
    make_export(export.id, ctx=acting_system(tenant))
    assert exports.path_of(again(export)).read_bytes() == before
    assert again(export).attempt == 1


def test_a_download_cut_anywhere_and_resumed_equals_the_whole(office: Office) -> None:
    record_all(office.tenant, ["x" * 400] * 40)
    settle_clock()
    api = office.api("ada")
    url = api.post("/telemetry/exports", {}).json()["download_url"]
    run_jobs()
    whole = api.get(url)
    content, tag = b"".join(whole.streaming_content), whole.headers["ETag"]
    cuts = random.Random(8).sample(range(1, len(content)), 25)
    for cut in [0, 1, len(content) - 1, *cuts]:
        rest = api.get(url, headers={"Range": f"bytes={cut}-", "If-Range": tag})
        assert rest.status_code == 206
        assert rest.headers["Content-Range"] == f"bytes {cut}-{len(content) - 1}/{len(content)}"
        assert content[:cut] + b"".join(rest.streaming_content) == content
    pieces = [api.get(url, headers={"Range": f"bytes={at}-{at + 4999}"}) for at in range(0, len(content), 5000)]
    assert b"".join(b"".join(piece.streaming_content) for piece in pieces) == content
    other = api.get(url, headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (other.status_code, b"".join(other.streaming_content)) == (200, content)
    beyond = api.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.json()["reason_code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(content)}"
    head = api.send("HEAD", url)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(content)))


def test_cancelling(office: Office, django_capture_on_commit_callbacks: Any) -> None:
    api = office.api("ada")
    waiting, ready = (api.post("/telemetry/exports", {}).json()["export_id"] for _ in range(2))
    assert api.post(f"/telemetry/exports/{waiting}/cancel", {}).json()["status"] == "cancelled"
    run_jobs()
    assert len(files()) == 1
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"/telemetry/exports/{ready}/cancel", {}).json()["status"] == "cancelled"
        assert len(files()) == 1  # until the commit
    assert files() == []
    gone = api.get(f"/telemetry/exports/{ready}/download")
    assert (gone.status_code, gone.json()["reason_code"]) == (410, "export_gone")
    twice = api.post(f"/telemetry/exports/{ready}/cancel", {})
    assert (twice.status_code, twice.json()["reason_code"]) == (409, "transition_not_allowed")
    assert kinds(office.tenant).count("telemetry.export_cancelled") == 2


def test_one_cancelled_while_it_is_made_leaves_nothing(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    export = requested(tenant)
    written = export_job._written

    def cancelled_meanwhile(row: TelemetryExport, *rest: Any) -> Any:
        made = written(row, *rest)
        with unit_of_work(tenant.id):
            exports.cancel_export(TelemetryExport.objects.get(id=row.id), ctx=acting_system(tenant))
        return made

    monkeypatch.setattr(export_job, "_written", cancelled_meanwhile)
    make_export(export.id, ctx=acting_system(tenant))
    assert again(export).status == "cancelled"
    assert files() == []


def test_a_worker_that_is_stopping_hands_it_back(tenant: Tenant) -> None:
    fill(tenant, 10)
    settle_clock()
    export = requested(tenant)
    run_jobs_away()
    make_export(export.id, ctx=acting_system(tenant), is_asked_to_stop=lambda: True)
    assert (again(export).status, files()) == ("requested", [])
    assert sweeps.enqueue_due_exports(now=clock.now()) == 1
    assert sweeps.enqueue_due_exports(now=clock.now()) == 0
    run_jobs()
    assert (again(export).status, again(export).attempt) == ("ready", 2)


def run_jobs_away() -> None:
    from tests.jobs import _take

    while _take(ahead_of_time=True):
        pass


def test_a_lost_worker_is_replaced_and_changes_nothing_when_it_wakes(tenant: Tenant) -> None:
    fill(tenant, 10)
    settle_clock()
    export = requested(tenant)
    claimed = export_job._acquire_lease(export.id, ctx=acting_system(tenant))
    assert claimed is not None
    first = export_job._written(claimed, export_job._Beat(claimed), lambda: False)
    make_export(export.id, ctx=acting_system(tenant))  # the lease still runs
    assert again(export).attempt == 1
    change(export, lease_until=clock.now() - timedelta(seconds=1))
    run_jobs_away()
    assert sweeps.enqueue_due_exports(now=clock.now()) == 1
    run_jobs()
    made = again(export)
    assert (made.status, made.attempt) == ("ready", 2)
    export_job._settle(claimed, first, ctx=acting_system(tenant))
    assert files() == [exports.path_of(made).name]
    assert again(export).attempt == 2
    assert kinds(tenant).count("telemetry.export_made") == 1


def test_workers_that_keep_dying_end_it(tenant: Tenant) -> None:
    export = requested(tenant)
    change(export, status="running", attempt=5, lease_until=clock.now() - timedelta(seconds=1))
    make_export(export.id, ctx=acting_system(tenant))
    assert (again(export).status, again(export).failure) == ("failed", "worker_lost")


def test_a_folder_that_cannot_be_used_fails_it_and_retrying_makes_it(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api = office.api("ada")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", 1000)  # also written immediately
    with monkeypatch.context() as patched:
        patched.setattr(settings, "THREADA_EXPORT_DIR", blocked)
        answer = api.post("/telemetry/exports", {})
        assert (answer.status_code, answer.json()["status"]) == (202, "requested")
        run_jobs()
    address = f"/telemetry/exports/{answer.json()['export_id']}"
    failed = api.get(address).json()
    assert failed["status"] == "failed"
    assert failed["failure"] == {"reason_code": "export_target_unavailable", "detail": "Not a directory"}
    assert api.get(address + "/download").json()["reason_code"] == "export_not_ready"
    assert api.post(address + "/retry", {}).json()["status"] == "requested"
    run_jobs()
    assert api.get(address).json()["failure"] is None
    assert api.get(address + "/download").status_code == 200
    refused = api.post(address + "/retry", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "transition_not_allowed")
    assert kinds(office.tenant) == [
        "telemetry.exported", "telemetry.export_failed", "telemetry.export_retried", "telemetry.export_made",
    ]  # fmt: skip


def test_a_full_disk_fails_it(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tenant, 50)
    settle_clock()
    export = requested(tenant)

    def disk_full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("telemetry.exports.files.os.write", disk_full)
        make_export(export.id, ctx=acting_system(tenant))
    found = again(export)
    assert (found.status, found.failure_detail) == ("failed", "No space left on device")
    assert files() == []


def test_a_file_that_is_missing_is_a_typed_failure(office: Office) -> None:
    api = office.api("ada")
    url = api.post("/telemetry/exports", {}).json()["download_url"]
    run_jobs()
    (path,) = settings.THREADA_EXPORT_DIR.rglob("te_*")
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        answer = api.get(url)
        assert (answer.status_code, answer.json()["reason_code"]) == (503, "export_target_unavailable")
        path.unlink(missing_ok=True)


def test_an_export_expires_and_its_file_goes(office: Office, django_capture_on_commit_callbacks: Any) -> None:
    api = office.api("ada")
    exported = api.post("/telemetry/exports", {}).json()
    run_jobs()
    made = api.get(f"/telemetry/exports/{exported['export_id']}").json()
    with unit_of_work(office.tenant.id):
        row = TelemetryExport.objects.get()
    assert row.expires_at is not None
    assert row.ready_at is not None
    assert row.expires_at - row.ready_at == timedelta(hours=settings.THREADA_EXPORT_HOURS)
    assert made["expires_at"] == clock.rfc3339(row.expires_at)
    assert sweeps.enqueue_due_expiry(now=row.expires_at - timedelta(seconds=1)) == 0
    assert sweeps.enqueue_due_expiry(now=row.expires_at) == 1
    run_jobs()  # before its time by the given clock
    assert again(row).status == "ready"
    change(row, expires_at=clock.now())
    assert sweeps.enqueue_due_expiry(now=clock.now()) == 1
    with django_capture_on_commit_callbacks(execute=True):
        run_jobs()
    assert (again(row).status, files(), queued_jobs()) == ("expired", [], [])
    assert api.get(exported["download_url"]).json()["reason_code"] == "export_gone"
    assert kinds(office.tenant)[-1] == "telemetry.export_expired"


def test_files_that_nobody_owns_are_deleted(tenant: Tenant) -> None:
    export = requested(tenant)
    make_export(export.id, ctx=acting_system(tenant))
    path = exports.path_of(again(export))
    for name in (f"{export.public_id}.9.ndjson.part", f"te_{'0' * 26}.1.ndjson", "te_x.1.csv"):
        path.with_name(name).write_text("left behind")
    assert sweeps.delete_orphans() == 0
    for each in path.parent.iterdir():
        os.utime(each, (LONG_AGO, LONG_AGO))
    assert sweeps.delete_orphans() == 3
    assert files() == [path.name]


def test_a_refused_transition_changes_nothing(tenant: Tenant) -> None:
    export = requested(tenant)
    change(export, status="expired")
    with unit_of_work(tenant.id), pytest.raises(TransitionNotAllowed):
        exports.retry_export(TelemetryExport.objects.get(), ctx=acting_system(tenant))
    assert again(export).status == "expired"
    assert kinds(tenant) == ["telemetry.exported"]


def test_bodies_in_many_batches_are_all_there(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.exports.bodies.BATCH_BYTES", 2000)
    monkeypatch.setattr("telemetry.exports.bodies._FIRST_BATCH", 1)
    fill(tenant, 200)
    settle_clock()
    export = requested(tenant)
    make_export(export.id, ctx=acting_system(tenant))
    with unit_of_work(tenant.id):
        expected = Receipt.objects.filter(id__lt=export.before_id).count()
    data = exports.path_of(again(export)).read_bytes()
    assert data.splitlines() == bodies(tenant, id__lt=export.before_id)
    assert again(export).rows == expected
