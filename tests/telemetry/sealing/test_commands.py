"""Operator commands for logs and keys: acknowledge a break, rotate the key, list the public keys."""

from __future__ import annotations

import json
from pathlib import Path

import aics_tlog
import pytest
from django.apps import apps
from django.core.management import call_command

from telemetry.models import Checkpoint, InstanceCheckpoint, LogAlarm, Receipt
from telemetry.tlog.checkpoint import origin_after_break, times_restored
from telemetry.tlog.note import VerifierKey
from tests.journeys.worker import database_url
from tests.telemetry.sealed import NAME, SealingSetup, assert_verifies, newest, origin, write_receipts
from tests.telemetry.sealing.test_sealer import as_owner
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.runtime.sealer.process import main
from threada_site.runtime.sealer.schema import own_migrations
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.schema.version import known_migrations

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instance_log")]


@pytest.fixture
def sealing_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealingSetup:
    made = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(made.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("DATABASE_URL", database_url())
    return made


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    call_command(*arguments)
    return capsys.readouterr().out


def kinds(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        return list(Receipt.objects.order_by("-id").values_list("kind", flat=True)[:2])


def test_a_break_is_acknowledged_with_a_reason_and_goes_on_as_another_log(
    tenant: Tenant, sealing_setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    write_receipts(tenant, 10)
    sealing_setup.seal()
    signed = newest(tenant)
    as_owner(f'DELETE FROM telemetry_logleaf WHERE "index" >= {signed.size - 2}')
    write_receipts(tenant, 1)
    assert sealing_setup.seal() == 0
    run("acknowledge_log", "--tenant", "acme", "--reason", "Restored after a disk failure.", capsys=capsys)
    assert sealing_setup.seal() == 2  # the written receipt, and the one of the acknowledgement
    renamed = f"{NAME}/restored-1/{ids.public_id(ids.TENANT, tenant.id)}"
    assert assert_verifies_leaves(tenant, renamed) == signed.size
    with unit_of_work(tenant.id):
        alarm = LogAlarm.objects.get()
        assert alarm.acknowledged_at is not None
        assert alarm.reason == "Restored after a disk failure."
    assert "log.acknowledged" in kinds(tenant)
    lines = [
        json.loads(line) for file in sealing_setup.directory.rglob("*.ndjson") for line in file.read_text().splitlines()
    ]
    assert [line["acknowledged"]["reason"] for line in lines if "acknowledged" in line] == [alarm.reason]


def assert_verifies_leaves(tenant: Tenant, name: str) -> int:
    checkpoint = newest(tenant)
    key = aics_tlog.parse_vkey(checkpoint.verifier_keys[0])
    result = aics_tlog.verify_checkpoint(aics_tlog.parse_note(checkpoint.note), key, expected_origin=name)
    assert result.ok, result.error
    return int(result.size)


def test_a_log_that_was_signed_needs_no_acknowledgement(
    tenant: Tenant, sealing_setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing_setup.seal()
    before = kinds(tenant)
    for arguments, status in ((("--reason", "x"), 1), (("--reason", " "), 2)):
        with pytest.raises(SystemExit) as refused:
            call_command("acknowledge_log", "--tenant", "acme", *arguments)
        assert refused.value.code == status
    assert kinds(tenant) == before
    assert sealing_setup.seal() == 0


def test_names_after_breaks() -> None:
    assert origin_after_break("a.example/tn_1") == "a.example/restored-1/tn_1"
    assert origin_after_break("a.example/restored-9/tn_1") == "a.example/restored-10/tn_1"
    assert [times_restored(origin) for origin in ("a.example/tn_1", "a.example/restored-10/tn_1")] == [0, 10]


def test_old_key_endorses_the_new_one(
    tenant: Tenant, sealing_setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing_setup.seal()
    [old] = newest(tenant).verifier_keys
    run("rotate_sealing_key", capsys=capsys)
    both = newest(tenant)
    assert both.verifier_keys[0] == old
    new = both.verifier_keys[1]
    for key in (old, new):
        checked = aics_tlog.verify_checkpoint(aics_tlog.parse_note(both.note), aics_tlog.parse_vkey(key))
        assert checked.ok, checked.error
    instance = InstanceCheckpoint.objects.latest("id")
    assert [VerifierKey.parse(key).public_key for key in instance.verifier_keys] == [
        VerifierKey.parse(key).public_key for key in (old, new)
    ]
    for key in instance.verifier_keys:
        assert aics_tlog.verify_checkpoint(aics_tlog.parse_note(instance.note), aics_tlog.parse_vkey(key)).ok
    assert kinds(tenant)[0] == "sealing_key.announced"
    assert run("sealing_keys", "--tenant", "acme", capsys=capsys).split() == [old, new]
    run("rotate_sealing_key", capsys=capsys)  # again: continues with the same new key
    assert newest(tenant).verifier_keys == [old, new]
    run("rotate_sealing_key", "--finish", capsys=capsys)
    assert sealing_setup.seal() == 3
    assert newest(tenant).verifier_keys == [new]
    assert_verifies(tenant)
    assert kinds(tenant)[0] == "sealing_key.retired"
    with pytest.raises(SystemExit):
        call_command("rotate_sealing_key", "--finish")
    with unit_of_work(tenant.id):
        assert {checkpoint.origin for checkpoint in Checkpoint.objects.all()} == {origin(tenant)}
    assert len(sealing_setup.key_file.path.read_text().splitlines()) == 1


def test_replacement_of_a_lost_key_is_recorded(
    tenant: Tenant, sealing_setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing_setup.seal()
    [old] = newest(tenant).verifier_keys
    with pytest.raises(SystemExit):
        call_command("rotate_sealing_key", "--lost")
    sealing_setup.key_file.path.unlink()
    assert sealing_setup.seal() == 0
    with pytest.raises(SystemExit):
        call_command("rotate_sealing_key")
    run("rotate_sealing_key", "--lost", capsys=capsys)
    assert sealing_setup.key_file.path.stat().st_mode & 0o777 == 0o600
    assert sealing_setup.seal() == 1
    assert kinds(tenant)[0] == "sealing_key.replaced"
    [new] = newest(tenant).verifier_keys
    assert new != old
    assert_verifies(tenant)


def test_the_sealer_refuses_a_schema_that_is_not_that_of_its_code(
    tenant: Tenant, sealing_setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer migration that is recorded as compatible is accepted, as by web and worker."""
    packages = ("threada_site", "workitems", "policies", "integrations", "telemetry")
    folders = {app.label for app in apps.get_app_configs() if app.name.split(".")[0] in packages}
    assert own_migrations() == {(app, name) for app, name in known_migrations() if app in folders}
    write_receipts(tenant, 1)
    added = "INSERT INTO django_migrations (app, name, applied) VALUES ('telemetry', '0999_new', now())"
    as_owner(added)
    try:
        assert main(["--once"]) == 1
        assert "telemetry.0999_new" in capsys.readouterr().err
        record = "INSERT INTO tenancy_schemamigration (name, is_compatible, version, applied_at) VALUES ('telemetry.0999_new', true, '9', now())"
        as_owner(record)
        assert main(["--once"]) == 0
    finally:
        as_owner("DELETE FROM django_migrations WHERE name = '0999_new'")
        as_owner("DELETE FROM tenancy_schemamigration WHERE name = 'telemetry.0999_new'")
    as_owner("INSERT INTO django_migrations (app, name, applied) VALUES ('telemetry', '0004_summary', now())")
    as_owner("ALTER TABLE tenancy_tenant RENAME require_mfa TO required_mfa")
    try:
        assert main(["--once"]) == 1
        said = capsys.readouterr().err
        assert "of a state before the first one of Threada 0.2.0 that can be upgraded" in said
        assert "newer" not in said
    finally:
        as_owner("ALTER TABLE tenancy_tenant RENAME required_mfa TO require_mfa")
        as_owner("DELETE FROM django_migrations WHERE name = '0004_summary'")
    as_owner("UPDATE django_migrations SET name = 'away' WHERE app = 'workitems' AND name = '0001_initial'")
    try:
        assert main(["--once"]) == 1
        assert "workitems.away" in capsys.readouterr().err
        as_owner("UPDATE django_migrations SET app = 'auth' WHERE app = 'workitems' AND name = 'away'")
        assert main(["--once"]) == 1
        assert "missing, the first is workitems.0001_initial" in capsys.readouterr().err
    finally:
        as_owner("UPDATE django_migrations SET name = '0001_initial', app = 'workitems' WHERE name = 'away'")
