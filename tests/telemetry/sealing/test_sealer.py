"""Sealing on a real database: queued receipts are in the log once, with a dense index, under a verified checkpoint."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import aics_tlog
import pytest
from django.db import DatabaseError, connection, transaction

from telemetry.log.anchor import Anchor, append_line
from telemetry.log.store import LogStore
from telemetry.models import Checkpoint, LogAlarm, LogLeaf, LogNode, QuarantinedReceipt, Receipt, SealQueueEntry
from tests.adversarial.waiting import until
from tests.factories import make_tenant
from tests.telemetry.sealed import (
    NAME,
    SealingSetup,
    assert_verifies,
    bodies_in_order,
    newest,
    origin,
    own_connection,
    write_receipts,
)  # fmt: skip
from threada_site.database.roles import OWNER, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path)


def as_owner(*statements: str) -> None:
    """Disable triggers for the owner's session, as a database administrator can."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
        for table in ("telemetry_receipt", "telemetry_logleaf", "telemetry_lognode", "telemetry_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in ("telemetry_receipt", "telemetry_logleaf", "telemetry_lognode", "telemetry_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("RESET ROLE")


def test_a_checkpoint_is_published_outside_before_the_database(
    sealing_setup: SealingSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed between the two leaves a copy outside that the database lacks, never the reverse."""
    order: list[str] = []

    def noted(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            order.append(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(Anchor, "append_checkpoint", noted("outside", Anchor.append_checkpoint))
    monkeypatch.setattr(LogStore, "add_checkpoint", noted("database", LogStore.add_checkpoint))
    write_receipts(make_tenant("acme"), 3)
    sealing_setup.seal(with_instance_log=False)
    assert order == ["outside", "database"]


def queued() -> int:
    with platform_role():
        return SealQueueEntry.objects.count()


def checkpoints(tenant: Tenant) -> int:
    with unit_of_work(tenant.id):
        return Checkpoint.objects.count()


def test_queued_receipts_become_a_log_that_an_independent_reader_verifies(
    tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    before = queued()
    assert before > 0
    assert sealing_setup.seal() == before
    assert queued() == 0
    assert_verifies(tenant)
    write_receipts(tenant, 700)
    assert sealing_setup.seal(batch=300) == 700
    result = assert_verifies(tenant)
    assert result.size == before + 700
    with unit_of_work(tenant.id):
        assert LogNode.objects.filter(level=8).count() == (before + 700) // 256
        assert sorted(LogLeaf.objects.values_list("id", flat=True)) == sorted(
            Receipt.objects.values_list("id", flat=True)
        )


def test_batches_read_few_rows_although_statistics_are_missing(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    """A log and a queue that grow before they are analyzed must not be read as a whole for each batch."""
    write_receipts(tenant, 1000)
    before = index_entries_read()
    with sealing_setup.sealer(batch=20) as sealer:
        assert [sealer.seal(tenant.id) for _ in range(10)] == [20] * 10
    until(lambda: index_entries_read() > before)
    assert index_entries_read() - before < 10 * 1000 / 2


def index_entries_read() -> int:
    """Return the number of index entries that ended sessions and this one have read in receipts, queue and log."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes "
            "WHERE relname ~ '^telemetry_(receipt_.*|sealqueueentry|logleaf|lognode)$'"
        )
        return int(cursor.fetchone()[0])


def test_nothing_new_signs_nothing_but_a_heartbeat_that_tells_its_time(
    tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    sealing_setup.seal()
    sealing_setup.seal()
    assert checkpoints(tenant) == 1
    sealing_setup.heartbeat()
    assert checkpoints(tenant) == 2
    checkpoint = newest(tenant)
    cosigner = aics_tlog.cosignature_vkey(NAME, aics_tlog.parse_vkey(checkpoint.verifier_keys[0]).public_key)
    result = aics_tlog.verify_checkpoint(
        aics_tlog.parse_note(checkpoint.note),
        aics_tlog.parse_vkey(checkpoint.verifier_keys[0]),
        [cosigner],
        1,
        max_age_seconds=60,
    )
    assert result.ok, result.error
    assert result.timestamps[NAME] == int(checkpoint.signed_at.timestamp())


def test_every_tenant_has_a_log_of_its_own(tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup) -> None:
    write_receipts(other_tenant, 5)
    sealing_setup.seal()
    assert_verifies(tenant)
    assert_verifies(other_tenant)
    assert newest(tenant).origin == origin(tenant) != newest(other_tenant).origin


def test_a_late_commit_is_sealed_later(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    """Its id is older than all ids sealed meanwhile: a reader that asks for ids after the last one never sees it."""
    written, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with unit_of_work(tenant.id):
            write_receipts(tenant, 1)
            written.set()
            assert may_commit.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert written.wait(30)
    write_receipts(tenant, 1000)
    first = sealing_setup.seal()
    assert first >= 1000
    may_commit.set()
    holder.join(30)
    assert sealing_setup.seal() == 1
    assert assert_verifies(tenant).size == first + 1
    with unit_of_work(tenant.id):
        late = LogLeaf.objects.get(index=first)
        assert late.id < max(LogLeaf.objects.values_list("id", flat=True))


def test_two_sealers_at_once_are_harmless(tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup) -> None:
    for each in (tenant, other_tenant):
        write_receipts(each, 400)
    before = queued()
    sealed: list[int] = []

    def work() -> None:
        with sealing_setup.sealer(batch=50, heartbeat=timedelta(0)) as sealer:
            done = 0
            while queued():
                done += sealer.round()
            sealed.append(done)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(sealed) == before
    sealing_setup.heartbeat()
    assert_verifies(tenant)
    assert_verifies(other_tenant)


def test_round_that_waits_seals_the_log_of_which_another_sealer_had_the_lock(
    tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    write_receipts(tenant, 3)
    waiting = queued()
    has_lock, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with own_connection() as own, LogStore(own).locked(tenant.id):
            has_lock.set()
            may_go_on.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert has_lock.wait(30)
    with sealing_setup.sealer() as sealer:
        assert sealer.round() == 0
        threading.Timer(0.3, may_go_on.set).start()
        assert sealer.round(waits=True) == waiting
    holder.join(30)


def test_consistency_holds_from_every_checkpoint_to_the_next(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    for _ in range(4):
        write_receipts(tenant, 3)
        sealing_setup.seal()
    tree = aics_tlog.MerkleTree(bodies_in_order(tenant))
    with unit_of_work(tenant.id):
        checkpoints = list(Checkpoint.objects.order_by("id").values_list("size", "root"))
    assert len(checkpoints) == 4
    assert [(size, tree.root(size)) for size, _ in checkpoints] == [(size, bytes(root)) for size, root in checkpoints]


def test_rolled_back_log_is_refused(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    write_receipts(tenant, 10)
    sealing_setup.seal()
    signed = newest(tenant)
    as_owner(f'DELETE FROM telemetry_logleaf WHERE "index" >= {signed.size - 2}')
    write_receipts(tenant, 1)
    assert sealing_setup.seal() == 0
    assert "log_rolled_back" in sealing_setup.said.events
    assert checkpoints(tenant) == 1
    assert queued() == 1
    with unit_of_work(tenant.id):
        alarm = LogAlarm.objects.get()
    assert (alarm.kind, alarm.signed_size, alarm.found_size) == ("rolled_back", signed.size, signed.size - 2)
    assert bytes(alarm.signed_root) == bytes(signed.root)
    assert alarm.acknowledged_at is None


def test_it_refuses_a_log_that_was_forked(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    """The size matches or exceeds the signed one; the leaves differ."""
    write_receipts(tenant, 10)
    sealing_setup.seal()
    signed = newest(tenant)
    other = "sha256('other'::bytea)"
    as_owner(f'UPDATE telemetry_logleaf SET hash = {other} WHERE "index" = {signed.size - 1}')
    write_receipts(tenant, 3)
    assert sealing_setup.seal() == 0
    assert "log_forked" in sealing_setup.said.events
    assert (checkpoints(tenant), queued()) == (1, 3)
    with unit_of_work(tenant.id):
        alarm = LogAlarm.objects.get()
        assert alarm.kind == "forked"
        assert bytes(alarm.found_root or b"") != bytes(alarm.signed_root)


def test_it_refuses_a_log_with_holes(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    write_receipts(tenant, 10)
    sealing_setup.seal()
    as_owner('DELETE FROM telemetry_logleaf WHERE "index" = 3')
    write_receipts(tenant, 1)
    assert sealing_setup.seal() == 0
    assert "log_forked" in sealing_setup.said.events


def test_broken_log_of_one_tenant_does_not_block_others(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    sealing_setup.seal()
    with unit_of_work(tenant.id):
        leaves = LogLeaf.objects.count()
    as_owner(f"DELETE FROM telemetry_logleaf WHERE tenant_id = '{tenant.id}' AND \"index\" = {leaves - 1}")
    write_receipts(other_tenant, 4)
    assert sealing_setup.seal() == 4
    assert_verifies(other_tenant)


def test_a_log_that_is_restored_goes_on(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    write_receipts(tenant, 10)
    sealing_setup.seal()
    last = newest(tenant).size - 1
    as_owner(
        f'CREATE TABLE kept AS SELECT * FROM telemetry_logleaf WHERE "index" = {last}',
        f'DELETE FROM telemetry_logleaf WHERE "index" = {last}',
    )
    write_receipts(tenant, 1)
    assert sealing_setup.seal() == 0
    as_owner("INSERT INTO telemetry_logleaf SELECT * FROM kept", "DROP TABLE kept")
    assert sealing_setup.seal() == 1
    assert_verifies(tenant)
    with unit_of_work(tenant.id):
        assert LogAlarm.objects.get().acknowledged_at is not None


def test_without_its_key_nothing_is_sealed(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    sealing_setup.key_file.path.chmod(0o644)
    assert sealing_setup.seal() == 0
    sealing_setup.key_file.path.rename(sealing_setup.key_file.path.with_name("elsewhere"))
    assert sealing_setup.seal() == 0
    assert [event for _, event, _ in sealing_setup.said.lines] == ["sealing_key_unusable"] * 2
    assert queued() > 0
    assert checkpoints(tenant) == 0


def test_queue_entry_without_receipt_goes_to_quarantine(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    """The receipt was deleted before it was sealed; its queue entry remained."""
    write_receipts(tenant, 3)
    with unit_of_work(tenant.id):
        gone = Receipt.objects.earliest("id").id
        expected = Receipt.objects.count() - 1
    as_owner(f"DELETE FROM telemetry_receipt WHERE id = '{gone}'")
    assert sealing_setup.seal() == expected
    with unit_of_work(tenant.id):
        assert not SealQueueEntry.objects.exists()
        assert list(QuarantinedReceipt.objects.values_list("id", "reason", "receipt")) == [
            (gone, "receipt_missing", None)
        ]
    assert_verifies(tenant)


def test_crash_between_signing_and_inserting_is_repaired(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    """The checkpoint is in the anchor and missing in the database: the next round signs again."""
    sealing_setup.seal()
    as_owner("DELETE FROM telemetry_checkpoint")
    with sealing_setup.sealer() as sealer:
        sealer.round()
    assert checkpoints(tenant) == 1
    assert_verifies(tenant)


def test_a_torn_line_of_the_anchor_is_cut_off(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    sealing_setup.seal()
    name = ids.public_id(ids.TENANT, tenant.id)
    kept = sealing_setup.anchor.last(name)
    [file] = (sealing_setup.directory / "checkpoints" / name).glob("*.ndjson")
    whole = file.read_text()
    file.write_text(whole + '{"at": "2026-')
    assert sealing_setup.anchor.last(name) == kept
    append_line(file, json.dumps({"x": 1}))
    assert file.read_text() == whole + '{"x": 1}\n'


def test_leaves_and_checkpoints_are_append_only(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    sealing_setup.seal()
    for table in ("telemetry_logleaf", "telemetry_checkpoint"):
        for statement in (f"UPDATE {table} SET tenant_id = tenant_id", f"DELETE FROM {table}"):
            refused = pytest.raises(DatabaseError, match=r"permission denied|append-only")
            with unit_of_work(tenant.id), refused, transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_another_tenants_log_cannot_be_seen(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    sealing_setup.seal()
    other = make_tenant("globex")
    with unit_of_work(other.id):
        assert [model.objects.count() for model in (LogLeaf, LogNode, Checkpoint)] == [0, 0, 0]
    with own_connection() as plain:
        assert plain.execute("SELECT count(*) FROM telemetry_logleaf").fetchone() == (0,)
