"""Instance log and inclusion promises are off by default: no work is done for them, and their absence is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse

from telemetry.models import (
    Checkpoint,
    InclusionPromiseKey,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceNode,
    InstanceQueueEntry,
)
from telemetry.tlog.checkpoint import INSTANCE
from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_principal, make_token
from tests.telemetry.sealed import SealingSetup, write_receipts
from tests.telemetry.tampering import Verify, drop_tenant
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sealing_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> SealingSetup:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    setup = SealingSetup(tmp_path)
    write_receipts(tenant, 3)
    assert setup.seal() >= 3
    return setup


def test_sealer_writes_nothing_for_parts_that_are_off(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    with unit_of_work(tenant.id):
        assert Checkpoint.objects.count() == 1
    with platform_role():
        for model in (InstanceQueueEntry, InstanceNode, InstanceEntry, InstanceCheckpoint, InclusionPromiseKey):
            assert model.objects.count() == 0, model
    assert sealing_setup.anchor.last(INSTANCE) is None


def test_turning_the_log_on_enters_every_existing_tenant(
    tenant: Tenant, sealing_setup: SealingSetup, instance_log: None
) -> None:
    sealing_setup.heartbeat()
    with platform_role():
        assert [entry.log_id for entry in InstanceEntry.objects.all()] == [tenant.id]
        assert InstanceCheckpoint.objects.get().size == 1


def test_verification_claims_nothing_about_missing_tenants(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, verify: Verify
) -> None:
    write_receipts(other_tenant, 2)
    sealing_setup.seal()
    drop_tenant(other_tenant)
    said = verify()
    assert said.code == 0
    assert said.lines[-1] == (
        "instance: no instance log is kept, so a missing tenant is not detected. THREADA_INSTANCE_LOG=true turns it on."
    )


def test_commands_say_how_to_turn_it_on(
    sealing_setup: SealingSetup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["export_instance_log", str(tmp_path / "log.zip")],
        ["acknowledge_log", "--instance", "--reason", "restored"],
    ):
        with pytest.raises(SystemExit) as refused:
            call_command(*command)
        assert refused.value.code == 1
        assert "No instance log is kept. THREADA_INSTANCE_LOG=true turns it on" in capsys.readouterr().err
    assert not (tmp_path / "log.zip").exists()


def test_api_and_console_say_how_to_turn_it_on(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    person = make_principal(tenant, "aud", roles=["auditor"])
    answer = Api(make_token(tenant, person)).get("/checkpoints/instance")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "checkpoint_not_sealed")
    assert "THREADA_INSTANCE_LOG=true" in answer.json()["detail"]
    browser = sign_in(person)
    page = browser.get(reverse("admin:telemetry_checkpoint_instance"))
    assert "THREADA_INSTANCE_LOG=true" in page.content.decode()
    for download in ("checkpoint", "proof"):
        assert browser.get(reverse(f"admin:telemetry_checkpoint_instance_{download}")).status_code == 404
    listed = browser.get(reverse("admin:telemetry_checkpoint_changelist"))
    assert "Instance log" not in listed.content.decode()
    [(address, _)] = listed.context["rows"]
    assert "instance log" not in browser.get(address).content.decode()
