"""The instance log: every new checkpoint of a tenant becomes one leaf, and a removed tenant is detected."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import aics_tlog
import pytest
from django.db import DatabaseError, connection, transaction

from telemetry.models import (
    Checkpoint,
    InstanceAlarm,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceNode,
    InstanceQueueEntry,
)
from tests.telemetry.sealed import NAME, SealingSetup, newest, origin, own_connection, write_receipts
from tests.telemetry.tampering import Verify, back_to, by_sql, drop_tenant, tenant_back_to
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instance_log")]


@pytest.fixture
def sealing_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealingSetup:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    return SealingSetup(tmp_path)


def entries() -> list[InstanceEntry]:
    with platform_role():
        found = list(InstanceEntry.objects.order_by("index"))
        assert InstanceQueueEntry.objects.count() == 0
    assert [entry.index for entry in found] == list(range(len(found)))
    return found


def newest_instance_checkpoint() -> InstanceCheckpoint:
    return InstanceCheckpoint.objects.latest("id")


def assert_instance_verifies(sealing_setup: SealingSetup, *, name: str = f"{NAME}/instance") -> list[InstanceEntry]:
    """Verify the newest checkpoint with an independent implementation, and compare its root with the tenants'
    checkpoints."""
    found, newest = entries(), newest_instance_checkpoint()
    vkey = str(sealing_setup.key_file.keys()[-1].verifier_key(name))
    result = aics_tlog.verify_checkpoint(
        aics_tlog.parse_note(newest.note), aics_tlog.parse_vkey(vkey), expected_origin=name
    )
    assert result.ok, result.error
    tree = aics_tlog.MerkleTree([entry.note.encode() for entry in found])
    assert (result.size, result.root) == (tree.size, tree.root())
    with platform_role():
        checkpoints = dict(Checkpoint.objects.values_list("id", "note"))
    for entry in found:
        assert checkpoints[entry.checkpoint_id] == entry.note
    return found


def test_every_new_checkpoint_is_a_leaf_and_a_heartbeat_is_not(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    for _ in range(3):
        write_receipts(tenant, 2)
        sealing_setup.seal()
    write_receipts(other_tenant, 1)
    sealing_setup.seal()
    found = assert_instance_verifies(sealing_setup)
    assert [entry.note.partition("\n")[0] for entry in found].count(origin(tenant)) == 3
    assert [entry.note.partition("\n")[0] for entry in found].count(origin(other_tenant)) == 2
    before = newest_instance_checkpoint().size
    sealing_setup.heartbeat()
    assert len(assert_instance_verifies(sealing_setup)) == before == newest_instance_checkpoint().size
    with unit_of_work(tenant.id):
        assert Checkpoint.objects.count() == 4
    assert InstanceCheckpoint.objects.count() == 5  # the heartbeat is the newest checkpoint of the instance log


def test_hundreds_of_leaves_keep_their_nodes(tenant: Tenant, sealing_setup: SealingSetup, verify: Verify) -> None:
    with sealing_setup.sealer() as sealer:
        for _ in range(258):
            write_receipts(tenant, 1)
            sealer.seal(tenant.id)
            sealer.sign(tenant.id)
        sealer.round()
    assert len(assert_instance_verifies(sealing_setup)) == 258
    assert InstanceNode.objects.filter(level=8).count() == 1
    assert verify().lines[-1].startswith("instance: 258 checkpoints of tenants sealed, 0 waiting, 1 checkpoints of its")


def test_a_crash_after_the_tenants_checkpoint_loses_none_and_doubles_none(
    tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    sealing_setup.seal()
    write_receipts(tenant, 2)
    with sealing_setup.sealer() as sealer:
        sealer.seal(tenant.id)
        sealer.sign(tenant.id)
    with platform_role():
        assert InstanceQueueEntry.objects.count() == 1
    with sealing_setup.sealer() as sealer:
        assert sealer.instance.append() == 1  # and stops before signing
    assert newest_instance_checkpoint().size == 1
    sealing_setup.seal()
    assert len(assert_instance_verifies(sealing_setup)) == 2
    by_sql("DELETE FROM telemetry_instancecheckpoint")  # signed, anchored, and not inserted
    sealing_setup.seal()
    assert len(assert_instance_verifies(sealing_setup)) == 2


def test_older_log_enters_the_instance_log_with_its_next_heartbeat(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    with sealing_setup.sealer() as sealer:
        sealer.seal(tenant.id)
        sealer.sign(tenant.id)
    by_sql("DELETE FROM telemetry_instancequeueentry")
    sealing_setup.heartbeat()
    assert [entry.note for entry in assert_instance_verifies(sealing_setup)] == [newest(tenant).note]


def test_several_sealers_at_once_are_harmless(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    def work() -> None:
        with sealing_setup.sealer(batch=20, heartbeat=timedelta(0)) as sealer:
            for _ in range(10):
                sealer.round()

    write_receipts(tenant, 300)
    write_receipts(other_tenant, 300)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sealing_setup.seal()
    assert_instance_verifies(sealing_setup)


def test_a_tenant_that_was_dropped_by_sql(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, verify: Verify, tmp_path: Path
) -> None:
    write_receipts(tenant, 5)
    write_receipts(other_tenant, 5)
    sealing_setup.seal()
    assert verify().code == 0
    size, saved = newest(other_tenant).size, tmp_path / "saved.txt"
    saved.write_text(newest_instance_checkpoint().note)
    drop_tenant(other_tenant)
    said = verify()
    assert said.code == 1
    assert said.lines[-2:] == [
        f"{origin(other_tenant)}: {size} receipts were sealed, and the tenant is not in the database any more",
        "instance: 2 checkpoints of tenants sealed, 0 waiting, 1 checkpoints of its own: 1 found",
    ]
    # Without its entries, the instance log does not match the signed one.
    by_sql(
        "DELETE FROM telemetry_instancenode", "DELETE FROM telemetry_instanceentry",
        "DELETE FROM telemetry_instancecheckpoint",
    )  # fmt: skip
    rolled_back = "instance: sequence 0: rolled back: 2 checkpoints were sealed then, and the log has 0 now"
    assert rolled_back in verify().lines
    (sealing_setup.directory / "checkpoints").rename(sealing_setup.directory / "lost")
    assert verify().code == 0
    assert rolled_back in verify("--against", str(saved)).lines


def test_unlisted_findings_are_counted(
    tenant: Tenant, sealing_setup: SealingSetup, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threada_site.runtime.management.commands.verify_receipts.MOST_NAMED", 2)
    for _ in range(4):
        write_receipts(tenant, 1)
        sealing_setup.seal()
    by_sql("DELETE FROM telemetry_instanceentry WHERE index > 0")
    assert verify().lines[-4:] == [
        "instance: sequence 1: the leaf is there, and what it is the hash of is not",
        "instance: sequence 2: the leaf is there, and what it is the hash of is not",
        "instance: and 1 more",
        "instance: 4 checkpoints of tenants sealed, 0 waiting, 4 checkpoints of its own: 3 found",
    ]


def test_a_tenant_that_was_rolled_back_alone(
    tenant: Tenant, sealing_setup: SealingSetup, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant's own anchor is lost too: only the instance log shows the rollback."""
    sizes = []
    for _ in range(3):
        write_receipts(tenant, 4)
        sealing_setup.seal()
        sizes.append(newest(tenant).size)
    by_sql(*tenant_back_to(sizes[0]))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing_setup.directory / "lost"))
    assert verify("--tenant", "acme").lines[0] == (
        f"acme: sequence {sizes[0]}: rolled back: {sizes[2]} receipts were sealed then, and the log has {sizes[0]} now"
    )
    assert (
        f"acme: entry 2 of the instance's log is its checkpoint of {sizes[2]} receipts, which is not in the database "
        "any more, and 1 more are not" in verify().lines
    )


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM telemetry_instancenode WHERE index > 1", "rolled_back"),
        ("UPDATE telemetry_instancenode SET hash = sha256('other'::bytea) WHERE index = 1", "forked"),
        ("DELETE FROM telemetry_instancenode WHERE index = 1", "forked"),
    ],
)
def test_only_the_signed_log_is_signed(
    tenant: Tenant, sealing_setup: SealingSetup, verify: Verify, statement: str, kind: str
) -> None:
    for _ in range(3):
        write_receipts(tenant, 1)
        sealing_setup.seal()
    signed = newest_instance_checkpoint()
    by_sql(statement)
    write_receipts(tenant, 1)
    assert sealing_setup.seal() == 1  # the tenant's own log is still sealed
    assert f"instance_log_{kind}" in sealing_setup.said.events
    assert newest_instance_checkpoint().id == signed.id
    with platform_role():
        alarm = InstanceAlarm.objects.get()
        assert InstanceQueueEntry.objects.count() == 1
    assert (alarm.kind, alarm.signed_size, alarm.acknowledged_at) == (kind, 3, None)
    assert verify().code == 1


def test_an_entry_that_was_changed(tenant: Tenant, sealing_setup: SealingSetup, verify: Verify) -> None:
    sealing_setup.seal()
    by_sql("UPDATE telemetry_instanceentry SET note = replace(note, chr(10), '')")
    assert "instance: sequence 0: the entry is not the one that was sealed" in verify().lines


def test_the_signed_log_restored_goes_on(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    for _ in range(2):
        write_receipts(tenant, 1)
        sealing_setup.seal()
    by_sql(
        "CREATE TABLE kept AS SELECT * FROM telemetry_instancenode WHERE index = 1",
        "DELETE FROM telemetry_instancenode WHERE index = 1",
    )
    write_receipts(tenant, 1)
    sealing_setup.seal()
    by_sql("INSERT INTO telemetry_instancenode SELECT * FROM kept", "DROP TABLE kept")
    sealing_setup.seal()
    assert len(assert_instance_verifies(sealing_setup)) == 3
    with platform_role():
        assert InstanceAlarm.objects.get().acknowledged_at is not None


def test_tenants_read_their_own_entries_and_write_nothing(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    sealing_setup.seal()
    with unit_of_work(tenant.id):
        [mine] = InstanceEntry.objects.all()
        assert mine.note.startswith(origin(tenant))
        assert InstanceQueueEntry.objects.count() == InstanceAlarm.objects.count() == 0
        assert InstanceNode.objects.count() == 2
    with own_connection() as plain:
        assert plain.execute("SELECT count(*) FROM telemetry_instanceentry").fetchone() == (0,)
    row = {"checkpoint_id": ids.new_uuid(), "note": "x"}
    for model, values in (
        (InstanceEntry, {"index": 9, "log_id": tenant.id, **row}),
        (InstanceNode, {"level": 0, "index": 9, "hash": b"x"}),
        (InstanceQueueEntry, {"id": ids.new_uuid()}),
    ):
        refused = pytest.raises(DatabaseError, match="row-level security")
        with unit_of_work(tenant.id), refused, transaction.atomic():
            model.objects.create(**values)
    with (
        unit_of_work(tenant.id),
        pytest.raises(DatabaseError, match="permission denied for table telemetry_instancenode"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM telemetry_instancenode")


def test_the_whole_database_from_an_older_dump_goes_on_once_it_is_acknowledged(
    tenant: Tenant, sealing_setup: SealingSetup, verify: Verify
) -> None:
    from django.core.management import call_command

    for _ in range(2):
        write_receipts(tenant, 3)
        sealing_setup.seal()
    by_sql(*back_to(newest(tenant).size - 3))
    call_command("acknowledge_log", tenant="acme", reason="restored from a backup")
    call_command("acknowledge_log", instance=True, reason="restored from a backup")
    sealing_setup.seal()
    found = assert_instance_verifies(sealing_setup, name=f"{NAME}/restored-1/instance")
    assert [entry.note.partition("\n")[0] for entry in found] == [
        origin(tenant),
        origin(tenant).replace(NAME, f"{NAME}/restored-1"),
    ]
    assert verify().code == 0
