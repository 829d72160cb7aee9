"""Receipts without a valid signature: refused once no process of a version that does not sign is left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from telemetry.models import LogLeaf, QuarantinedReceipt, Receipt, SealQueueEntry
from telemetry.receipts.signing import receipt_keyring
from telemetry.sealing import signatures
from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote
from tests.telemetry.sealed import SealingSetup, assert_verifies, newest, own_connection, write_receipts
from tests.telemetry.sealing.test_times import insert
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path)


def seal(setup: SealingSetup, **options: Any) -> int:
    return setup.seal(receipt_keys=receipt_keyring().public, **options)


def signed_from(tenant: Tenant) -> int | None:
    return Checkpoint.parse(SignedNote.parse(newest(tenant).note).text).signed_from


def test_a_new_tenant_needs_signatures_at_once(tenant: Tenant, setup: SealingSetup) -> None:
    write_receipts(tenant, 2)
    seal(setup)
    assert signed_from(tenant) == 0
    kept = setup.anchor.last(ids.public_id(ids.TENANT, tenant.id))
    assert kept is not None
    assert kept.signed_from == 0
    with unit_of_work(tenant.id):
        genuine = Receipt.objects.latest("id").signature
    refused = {
        insert(tenant, clock.now()): "unsigned",
        insert(tenant, clock.now(), signature=genuine): "invalid_signature",
        insert(tenant, clock.now(), signature="web+00000000 0/1 AAAA"): "invalid_signature",
    }
    write_receipts(tenant, 1)
    assert seal(setup) == 1
    with unit_of_work(tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == refused
        assert not SealQueueEntry.objects.exists()
        assert not LogLeaf.objects.filter(id__in=refused).exists()
    assert_verifies(tenant)


def test_an_upgraded_log_needs_them_ten_minutes_after_the_last_process_of_another_version(
    tenant: Tenant, setup: SealingSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.seal(receipt_keys=None)
    unsigned = insert(tenant, clock.now())
    began = time.monotonic()
    later = 0.0
    monkeypatch.setattr(signatures.time, "monotonic", lambda: began + later)
    monkeypatch.setattr("telemetry.log.store.APP", connection.settings_dict["USER"])
    with setup.sealer(receipt_keys=receipt_keyring().public) as sealer:
        sealer.round()
        sealer.sign(tenant.id, always=True)
        assert signed_from(tenant) is None
        with unit_of_work(tenant.id):
            assert LogLeaf.objects.filter(id=unsigned).exists()  # sealed: its version does not sign
        later = 590.0
        with own_connection() as other:
            other.execute("SELECT 1")
            sealer.sign(tenant.id, always=True)  # a process that does not name itself is seen
        later = 1180.0
        sealer.sign(tenant.id, always=True)
        assert signed_from(tenant) is None
        later = 1200.0
        waiting = insert(tenant, clock.now())
        sealer.sign(tenant.id, always=True)  # the queue is not drained
        assert signed_from(tenant) is None
        sealer.round()
        with unit_of_work(tenant.id):
            assert LogLeaf.objects.filter(id=waiting).exists()
        later = 1790.0
        sealer.sign(tenant.id, always=True)
        assert signed_from(tenant) is None  # an unsigned receipt was seen again
        later = 1801.0
        sealer.sign(tenant.id, always=True)
        size = newest(tenant).size
        assert signed_from(tenant) == size
        refused = insert(tenant, clock.now())
        write_receipts(tenant, 1)
        sealer.round()
        sealer.sign(tenant.id, always=True)
    assert signed_from(tenant) == size
    with unit_of_work(tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == {refused: "unsigned"}


def test_a_wrong_signature_is_refused_also_before(tenant: Tenant, setup: SealingSetup) -> None:
    setup.seal(receipt_keys=None)
    refused = insert(tenant, clock.now(), signature="web+00000000 0/1 AAAA")
    seal(setup)
    assert signed_from(tenant) is None
    with unit_of_work(tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == {refused: "invalid_signature"}
