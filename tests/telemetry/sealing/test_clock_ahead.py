"""A clock that was ahead: the log was said to be complete until later than now, and an operator continues it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from telemetry.exports.evidence import evidence_of
from telemetry.log.anchor import Anchor
from telemetry.models import Checkpoint, LogLeaf, QuarantinedReceipt, Receipt
from telemetry.selectors import newest_checkpoint
from telemetry.tlog.checkpoint import origin_after_break
from telemetry.verifier.threada_verify import verify_complete_evidence
from tests.telemetry.sealed import SealingSetup, assert_verifies, bodies_in_order, newest, origin, write_receipts
from tests.telemetry.sealing.test_times import insert, time_of
from tests.telemetry.tampering import Verify
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
REASON = "The clock of m1 was an hour ahead."


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> SealingSetup:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    # The tenant is new: without this, receipts older than the log would be older than the tenant first.
    monkeypatch.setattr("telemetry.sealing.admission.CLOCKS_DIFFER", timedelta(days=1))
    made = SealingSetup(tmp_path)
    made.seal()
    return made


@contextmanager
def clock_ahead(monkeypatch: pytest.MonkeyPatch, by: timedelta = HOUR) -> Iterator[None]:
    """Set the clock of the sealer, and that of ids, ahead."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    nanoseconds = by // timedelta(microseconds=1) * 1000
    with monkeypatch.context() as patched:
        for module in ("sealing.sealer", "receipts.key_endorsement", "instance_log.seal"):
            patched.setattr(f"telemetry.{module}.datetime", Ahead)
        patched.setattr(clock, "datetime", Ahead)
        patched.setattr(ids, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + nanoseconds))
        yield


def continue_log() -> None:
    call_command("acknowledge_log", "--tenant", "acme", "--reason", REASON)


def anchored(setup: SealingSetup, tenant: Tenant) -> dict[str, object]:
    [file] = sorted((setup.directory / "checkpoints" / ids.public_id(ids.TENANT, tenant.id)).glob("*.ndjson"))[-1:]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if "acknowledged" in line][-1]["acknowledged"]


def findings_of_auditor(tenant: Tenant, setup: SealingSetup) -> list[str]:
    """Verify evidence of the whole log with the verifier for auditors."""
    receipts, evidence = setup.directory / "receipts", setup.directory / "evidence.zip"
    receipts.write_bytes(b"".join(body + b"\n" for body in bodies_in_order(tenant)))
    head = newest(tenant)
    evidence.write_bytes(b"".join(evidence_of(receipts, name="e", checkpoint=head, is_in_log_order=True)))
    return [one.code for one in verify_complete_evidence(evidence, head.verifier_keys).findings]


@pytest.mark.parametrize("writes_meanwhile", [False, True])
def test_a_log_that_was_signed_by_a_clock_ahead_goes_on_from_now(
    tenant: Tenant,
    setup: SealingSetup,
    verify: Verify,
    monkeypatch: pytest.MonkeyPatch,
    *,
    writes_meanwhile: bool,
) -> None:
    if not writes_meanwhile:
        write_receipts(tenant, 1)
    with clock_ahead(monkeypatch):
        if writes_meanwhile:
            write_receipts(tenant, 1)
        assert setup.seal() == 1
    ahead, sealed = time_of(tenant), newest(tenant)
    assert ahead > clock.now() + timedelta(minutes=50)
    write_receipts(tenant, 2)
    assert setup.seal() == 0
    with unit_of_work(tenant.id):
        assert list(QuarantinedReceipt.objects.values_list("reason", flat=True)) == ["older_than_log"] * 2

    before = clock.now()
    continue_log()
    write_receipts(tenant, 3)
    assert setup.seal() == 4
    renamed = origin_after_break(origin(tenant))
    with unit_of_work(tenant.id):
        signed = newest_checkpoint(tenant.id)
        assert signed is not None
        assert (signed.origin, signed.size) == (renamed, sealed.size + 4)
        said = json.loads(bytes(Receipt.objects.get(kind="log.acknowledged").body))
    assert said["inputs"]["signed_complete_until"] == clock.rfc3339(ahead)
    assert said["outcome"] == {"origin": renamed, "root": bytes(sealed.root).hex(), "size": sealed.size}
    line = anchored(setup, tenant)
    assert (line["reason"], line["origin"]) == (REASON, renamed)
    assert before - timedelta(minutes=5, seconds=1) < time_of(tenant) <= clock.now() - timedelta(minutes=5)
    assert_verifies(tenant, name=renamed)
    assert "signed-from 0" in signed.note  # what the log required before, it requires still

    old = insert(tenant, before - timedelta(minutes=6), is_signed=True)
    setup.seal()
    with unit_of_work(tenant.id):
        assert QuarantinedReceipt.objects.get(id=old).reason == "older_than_log"
        assert not LogLeaf.objects.filter(id=old).exists()
    call_command("quarantine", "accept", "--all", "--reason", "Checked.", "--tenant", "acme")
    setup.seal()
    verified = verify("--tenant", "acme")
    assert verified.code == 0, verified.lines
    assert verified.lines[-1].endswith(": all valid")
    # An auditor without the database sees receipts of a time that has not come, and nothing else.
    found = findings_of_auditor(tenant, setup)
    assert found == (["sealed_too_early"] if writes_meanwhile else [])


def test_a_right_time_is_no_reason_to_continue_a_log(
    tenant: Tenant, setup: SealingSetup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with clock_ahead(monkeypatch):
        setup.heartbeat()
        with pytest.raises(SystemExit) as refused:
            continue_log()  # the clock is still ahead
    assert refused.value.code == 1
    assert "is right by the clock of this machine" in capsys.readouterr().err
    with unit_of_work(tenant.id):
        assert not Receipt.objects.filter(kind="log.acknowledged").exists()
    assert setup.anchor.last(ids.public_id(ids.TENANT, tenant.id)).origin == origin(tenant)  # type: ignore[union-attr]


def test_the_other_machine_continues_the_log_too(
    tenant: Tenant, setup: SealingSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SealingSetup(tmp_path)
    other.anchor = Anchor(tmp_path / "other")
    other.heartbeat()
    with clock_ahead(monkeypatch):
        setup.heartbeat()
    continue_log()
    setup.seal()
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "other"))
    continue_log()
    write_receipts(tenant, 1)
    assert other.seal() == 2
    with unit_of_work(tenant.id):
        logs = [each.origin for each in Checkpoint.objects.order_by("id")]
    assert logs == sorted(logs, key=lambda name: "restored" in name)
    assert newest(tenant).origin == origin_after_break(origin(tenant))
