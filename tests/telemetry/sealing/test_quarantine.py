"""The quarantine: named until it is decided, decided by an operator's command, carried out by the sealer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from telemetry.models import LogLeaf, QuarantineCount, QuarantinedReceipt, Receipt, SealQueueEntry
from telemetry.receipts.signing import receipt_keyring
from telemetry.selectors import sealing_alarms
from tests.factories import acting_system
from tests.telemetry.sealed import SealingSetup, assert_verifies, write_receipts
from tests.telemetry.sealing.test_times import insert
from tests.telemetry.tampering import Verify
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> SealingSetup:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    made = SealingSetup(tmp_path)
    seal(made)
    return made


def seal(setup: SealingSetup, **options: Any) -> int:
    return setup.seal(receipt_keys=receipt_keyring().public, **options)


def quarantine(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    call_command("quarantine", *arguments, "--tenant", "acme")
    return capsys.readouterr().out.splitlines()


def test_a_refused_receipt_is_named_until_it_is_discarded(
    tenant: Tenant, setup: SealingSetup, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = insert(tenant, clock.now(), kind="vote.recorded")
    write_receipts(tenant, 1)
    assert seal(setup) == 1
    named = ids.public_id(ids.RECEIPT, refused)
    said = verify("--tenant", "acme")
    because = "no process of the product signed it (vote.recorded): manage.py quarantine"
    assert (said.code, said.lines[0]) == (1, f"acme: receipt {named}: refused by the sealer, because {because}")
    with unit_of_work(tenant.id):
        [alarm] = sealing_alarms(acting_system(tenant))
    assert alarm.startswith("A receipt was refused by the sealer")
    [line] = quarantine(capsys, "list")
    assert line.startswith(f"{named} vote.recorded ")
    assert line.endswith(" unsigned: no process of the product signed it")
    assert quarantine(capsys, "discard", named, "--reason", "Inserted by SQL.") == [
        "1 receipts are deleted in the next round of the sealer."
    ]
    assert verify("--tenant", "acme").code == 1  # the sealer has not carried it out
    assert seal(setup) == 1
    assert verify("--tenant", "acme").code == 0
    with unit_of_work(tenant.id):
        assert not QuarantinedReceipt.objects.exists()
        assert not Receipt.objects.filter(id=refused).exists()
        decision = json.loads(bytes(Receipt.objects.get(kind="quarantine.discarded").body))
        assert decision["inputs"]["receipts"][0]["receipt_id"] == named
        assert decision["inputs"]["receipts"][0]["reason"] == "unsigned"
        assert decision["actor"]["entry_point"] == "command"
        assert "SQL" not in json.dumps(decision)
    assert quarantine(capsys, "list") == []


def test_an_accepted_receipt_follows_its_decision_in_the_log(
    tenant: Tenant, setup: SealingSetup, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted, left = insert(tenant, clock.now()), insert(tenant, clock.now())
    seal(setup)
    with unit_of_work(tenant.id):
        before = QuarantinedReceipt.objects.get(id=accepted).receipt
    quarantine(capsys, "accept", ids.public_id(ids.RECEIPT, accepted), "--reason", "Known.")
    assert seal(setup) == 2
    with unit_of_work(tenant.id):
        decision = Receipt.objects.get(kind="quarantine.accepted")
        places = dict(LogLeaf.objects.values_list("id", "index"))
        assert places[accepted] == places[decision.id] + 1
        assert list(QuarantinedReceipt.objects.values_list("id", flat=True)) == [left]
        row = Receipt.objects.get(id=accepted)
        assert before is not None
        assert (f"\\x{bytes(row.body).hex()}", row.body_sha256) == (before["body"], before["body_sha256"])
    assert_verifies(tenant)
    quarantine(capsys, "discard", "--all", "--reason", "Unknown.")
    seal(setup)
    assert verify("--tenant", "acme").code == 0


def test_the_receipt_of_a_decision_that_no_command_wrote_decides_nothing(
    tenant: Tenant, setup: SealingSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = insert(tenant, clock.now())
    seal(setup)
    forged = insert(tenant, clock.now(), kind="quarantine.accepted")
    seal(setup)
    with unit_of_work(tenant.id):
        assert set(QuarantinedReceipt.objects.values_list("id", flat=True)) == {refused, forged}
    with pytest.raises(SystemExit) as stopped:
        quarantine(capsys, "accept", ids.public_id(ids.RECEIPT, ids.new_uuid()), "--reason", "x")
    assert stopped.value.code == 1
    with unit_of_work(tenant.id):
        assert not Receipt.objects.filter(kind__startswith="quarantine.").exists()


def test_counted_receipts_are_looked_at_again(
    tenant: Tenant, setup: SealingSetup, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.log.store.MOST_QUARANTINED", 2)
    refused = [insert(tenant, clock.now()) for _ in range(3)]
    seal(setup)
    assert quarantine(capsys, "list")[-1] == "and 1 more, which are looked at again after these are decided"
    quarantine(capsys, "discard", "--all", "--reason", "Unknown.")
    seal(setup)
    with unit_of_work(tenant.id):
        assert list(QuarantinedReceipt.objects.values_list("id", flat=True)) == [max(refused)]
        assert not QuarantineCount.objects.exists()
        assert not SealQueueEntry.objects.exists()
