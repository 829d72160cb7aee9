"""Delivery to files: every receipt once, also after a kill, a torn line and a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from integrations.deliveries.senders.file import file_of
from telemetry.deliveries import batches as deliveries
from telemetry.models import Delivery
from tests.factories import acting_system
from tests.integrations.deliveries.delivering import (
    again,
    delete_receipt,
    due_now,
    killed_before_settling,
    lines,
    lose_worker,
    run,
    sequence,
    stored,
    tell,
    to_file,
)
from tests.telemetry.sealed import seal_queued
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")


def test_a_file_holds_every_receipt_once(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = to_file(tenant, from_beginning=True)
    tell(tenant, "one")
    seal_queued(tenant)
    run(delivery)
    tell(tenant, "two")
    size = seal_queued(tenant)
    killed_before_settling(delivery, monkeypatch)
    assert len(lines(delivery)) == size
    with file_of(delivery).open("ab") as file:
        file.write(b'{"torn')
    tell(tenant, "three")
    size = seal_queued(tenant)
    lose_worker(delivery)
    run(delivery)
    assert sequence(lines(delivery)) == list(range(size))
    assert [canonical_bytes(event["data"]) for event in lines(delivery)] == stored(tenant)
    assert oct(file_of(delivery).stat().st_mode)[-3:] == "600"


def test_deleted_file_is_started_again(tenant: Tenant) -> None:
    delivery = to_file(tenant, from_beginning=True)
    size = seal_queued(tenant)
    run(delivery)
    file_of(delivery).rename(file_of(delivery).with_suffix(".1"))
    tell(tenant, "after")
    seal_queued(tenant)
    run(delivery)
    assert sequence(lines(delivery)) == [size]


def test_a_file_that_cannot_be_written(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    delivery = to_file(tenant, from_beginning=True)
    size = seal_queued(tenant)
    (tmp_path / "blocked").write_text("")
    with monkeypatch.context() as patched:
        patched.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "blocked")
        for _ in range(5):
            due_now(delivery)
            run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts) == ("paused", "export_target_unavailable", 4)
    with unit_of_work(tenant.id):
        deliveries.resume_delivery(Delivery.objects.get(), ctx=acting_system(tenant))
    run(delivery)
    assert sequence(lines(delivery)) == list(range(size))


def test_deleted_receipt_keeps_its_sequence(tenant: Tenant) -> None:
    delivery = to_file(tenant, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal_queued(tenant)
    place = delete_receipt(tenant, index=1)
    run(delivery)
    got = lines(delivery)
    assert sequence(got) == list(range(size))
    assert got[1] == {
        "specversion": "1.0", "id": str(place).partition(" ")[0], "source": got[0]["source"],
        "type": "threada.receipt.deleted", "leafhash": bytes(place.hash).hex(), "sequence": "1",
    }  # fmt: skip
