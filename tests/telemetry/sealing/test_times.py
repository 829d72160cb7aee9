"""Times of sealed receipts: the sealer refuses receipts of another time, and the queue goes on."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from telemetry.log.store import QueuedReceipt
from telemetry.models import LogLeaf, QuarantineCount, QuarantinedReceipt, Receipt, SealQueueEntry
from telemetry.receipts.format import Entry, body_bytes
from telemetry.receipts.record import record
from telemetry.receipts.signing import receipt_keyring
from telemetry.sealing.admission import Admission, complete_until
from telemetry.tlog.checkpoint import Checkpoint, complete_until_line
from telemetry.tlog.note import SignedNote
from telemetry.tlog.texts import MalformedText
from tests.factories import acting_system
from tests.telemetry.sealed import SealingSetup, assert_verifies, newest, write_receipts
from tests.telemetry.tampering import Verify
from threada_site.database import unit_of_work as units
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.tenancy.models import Tenant

ROOT = bytes(32)
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TENANT = uuid.UUID(int=ids.first_id_at(NOW - timedelta(days=30)).int | 0x7000_8000_0000_0000_0000)


def id_at(at: datetime) -> uuid.UUID:
    """Return a UUIDv7 of this time."""
    return uuid.UUID(int=ids.first_id_at(at).int | (ids.new_uuid().int & ((1 << 80) - 1)))


def queued(at: datetime, *, stated: datetime | None = None, tenant: uuid.UUID = TENANT) -> QueuedReceipt:
    receipt_id = id_at(at)
    body = {
        "id": ids.public_id(ids.RECEIPT, receipt_id),
        "tenant": ids.public_id(ids.TENANT, tenant),
        "occurred_at": clock.rfc3339(stated or at),
    }
    return QueuedReceipt(receipt_id, json.dumps(body).encode(), is_sealed=False)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (queued(NOW - timedelta(minutes=6)), None),
        (queued(NOW + timedelta(seconds=5)), None),
        (queued(NOW + timedelta(seconds=5, milliseconds=1)), "in_the_future"),
        (queued(NOW - timedelta(minutes=10)), None),
        (queued(NOW - timedelta(minutes=10, milliseconds=1)), "older_than_log"),
        (queued(NOW - timedelta(days=40)), "older_than_tenant"),
        (queued(NOW, stated=NOW - timedelta(milliseconds=1)), "time_differs"),
        (queued(NOW, tenant=id_at(NOW)), "malformed"),
        (QueuedReceipt(id_at(NOW), b"{}", is_sealed=False), "malformed"),
        (QueuedReceipt(id_at(NOW), b"\xff", is_sealed=False), "malformed"),
        (QueuedReceipt(id_at(NOW), None, is_sealed=False), "receipt_missing"),
        (QueuedReceipt(id_at(NOW), b"{}", is_sealed=True), "sealed_already"),
        (QueuedReceipt(uuid.uuid4(), queued(NOW).body, is_sealed=False), "malformed"),
    ],
)
def test_reasons_of_refusals(found: QueuedReceipt, reason: str | None) -> None:
    assert Admission(TENANT, NOW, NOW - timedelta(minutes=10)).refusal(found) == reason


def test_the_time_of_a_checkpoint_never_goes_back() -> None:
    five = NOW - timedelta(minutes=5)
    assert complete_until(at=NOW, oldest_queued=None, before=None) == five
    assert complete_until(at=NOW, oldest_queued=NOW - timedelta(minutes=9), before=None) == NOW - timedelta(minutes=9)
    assert complete_until(at=NOW, oldest_queued=NOW, before=five - timedelta(hours=1)) == five
    assert complete_until(at=NOW, oldest_queued=NOW - timedelta(minutes=9), before=five) == five


@pytest.mark.parametrize(
    "lines",
    [
        ("complete-until 2026-11-30",),
        ("complete-until 2026-11-30T12:00:00Z",),
        ("complete-until 2026-13-30T12:00:00.000Z",),
        ("complete-until  2026-11-30T12:00:00.000Z",),
        ("complete-until",),
        (complete_until_line(NOW), complete_until_line(NOW)),
    ],
)
def test_another_form_of_the_line_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(MalformedText):
        Checkpoint.parse(Checkpoint("a/b", 1, ROOT, lines).text())


def test_the_line_is_read_beside_lines_of_others() -> None:
    checkpoint = Checkpoint("a/b", 1, ROOT, ("other", complete_until_line(NOW)))
    assert Checkpoint.parse(checkpoint.text()).complete_until == NOW
    assert Checkpoint.parse(Checkpoint("a/b", 1, ROOT).text()).complete_until is None


def insert(
    tenant: Tenant,
    at: datetime,
    *,
    stated: datetime | None = None,
    kind: str = "thing.done",
    signature: str = "",
    is_signed: bool = False,
) -> uuid.UUID:
    """Insert a receipt of this time and its queue entry, as SQL in a request can. `is_signed`: with the key of
    the worker."""
    receipt_id = id_at(at)
    stated = stated or ids.instant_of(receipt_id)
    ctx = acting_system(tenant)
    body = body_bytes(Entry(kind=kind), ctx, receipt_id=receipt_id, occurred_at=stated)
    if is_signed:
        [signature] = receipt_keyring().signer("worker").sign([body], tenant=ids.public_id(ids.TENANT, tenant.id))
    with unit_of_work(tenant.id):
        Receipt.objects.create(
            id=receipt_id,
            tenant_id=tenant.id,
            kind=kind,
            occurred_at=stated,
            correlation_id=ctx.correlation_id,
            body=body,
            body_sha256=sha256_hex(body),
            signature=signature,
        )
        SealQueueEntry.objects.create(id=receipt_id, tenant_id=tenant.id)
    return receipt_id


def time_of(tenant: Tenant) -> datetime:
    until = Checkpoint.parse(SignedNote.parse(newest(tenant).note).text).complete_until
    assert until is not None
    return until


@pytest.mark.django_db(transaction=True)
def test_receipts_of_another_time_are_not_sealed(
    tenant: Tenant, tmp_path: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    setup = SealingSetup(tmp_path)
    setup.seal()
    assert clock.now() - timedelta(minutes=5, seconds=30) < time_of(tenant) <= clock.now() - timedelta(minutes=5)
    now = clock.now()
    refused = {
        insert(tenant, now - timedelta(days=40)): "older_than_tenant",
        insert(tenant, now + timedelta(hours=1)): "in_the_future",
        insert(tenant, now, stated=now - timedelta(days=1)): "time_differs",
    }
    write_receipts(tenant, 3)
    assert setup.seal() == 3
    with unit_of_work(tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == refused
        assert not SealQueueEntry.objects.exists()
        assert not Receipt.objects.filter(id__in=refused).exists()
        assert not LogLeaf.objects.filter(id__in=refused).exists()
        stored = QuarantinedReceipt.objects.get(id=min(refused)).receipt
        assert stored is not None
        assert (stored["id"], stored["kind"]) == (str(min(refused)), "thing.done")
    assert_verifies(tenant)
    assert "receipts_refused" in setup.said.events


@pytest.mark.django_db(transaction=True)
def test_the_largest_number_in_quarantine(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.log.store.MOST_QUARANTINED", 2)
    setup = SealingSetup(tmp_path)
    setup.seal()
    refused = [insert(tenant, clock.now() - timedelta(days=40)) for _ in range(5)]
    write_receipts(tenant, 1)
    assert setup.seal() == 1
    with unit_of_work(tenant.id):
        assert QuarantinedReceipt.objects.count() == 2
        assert list(QuarantineCount.objects.values_list("receipts", flat=True)) == [3]
        assert not SealQueueEntry.objects.exists()
        assert Receipt.objects.filter(id__in=refused).count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_queued_receipt_holds_the_time_back(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.sealing.admission.CLOCKS_DIFFER", timedelta(days=1))  # the tenant is new
    setup = SealingSetup(tmp_path)
    setup.seal()
    before = time_of(tenant)
    with setup.sealer(heartbeat=timedelta(0)) as sealer:
        waiting = insert(tenant, before + timedelta(milliseconds=1), is_signed=True)
        sealer.sign(tenant.id, always=True)
        assert time_of(tenant) == ids.instant_of(waiting)
        sealer.round()
    assert time_of(tenant) > ids.instant_of(waiting)
    late = insert(tenant, time_of(tenant) - timedelta(milliseconds=1), is_signed=True)
    setup.seal()
    with unit_of_work(tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == {late: "older_than_log"}


@pytest.mark.django_db(transaction=True)
def test_work_of_more_than_four_minutes_is_rolled_back(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    write_receipts(tenant, 1)
    with unit_of_work(tenant.id):
        before = Receipt.objects.count()
    began = time.monotonic()

    def later(seconds: float) -> None:
        monkeypatch.setattr(units.time, "monotonic", lambda: began + seconds)

    later(0)
    with pytest.raises(errors.WorkTooLong) as refused, unit_of_work(tenant.id):  # noqa: PT012  (raised at its end)
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        later(240.5)
    assert refused.value.status == 503
    later(0)
    with unit_of_work(tenant.id):
        assert Receipt.objects.count() == before
        later(1000)
    later(0)
    with unit_of_work(tenant.id):
        later(1000)
        units.restart_age()
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        with pytest.raises(RuntimeError):
            units.restart_age()
    with unit_of_work(tenant.id):
        assert Receipt.objects.count() == before + 1
    assert connection.get_autocommit()
