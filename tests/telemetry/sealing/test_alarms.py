"""Alarms of delayed or stopped sealing in metrics, status and console."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command

from telemetry.alarms import broken_logs_alarm, unsealed_alarm
from telemetry.models import LogAlarm, LogLeaf, SealQueueEntry
from tests.console.sign_in import sign_in
from tests.factories import make_principal
from tests.scraping import scrape
from tests.telemetry.sealed import SealingSetup, write_receipts
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, None), (59, None), (60, "1 minute "), (300, "5 minutes "), (7200, "2 hours "), (86_400, "24 hours ")],
)
def test_alarm_text_of_unsealed_receipts(seconds: int, said: str | None) -> None:
    alarm = unsealed_alarm(timedelta(seconds=seconds))
    assert alarm == said if said is None else said in (alarm or "")


def test_alarm_text_of_broken_logs() -> None:
    assert broken_logs_alarm(0) is None
    assert "A log is not the one" in (broken_logs_alarm(1) or "")
    assert "3 logs are not the ones" in (broken_logs_alarm(3) or "")


def let_one_wait(tenant: Tenant, hours: int) -> None:
    with unit_of_work(tenant.id):
        SealQueueEntry.objects.create(tenant=tenant, id=ids.first_id_at(clock.now() - timedelta(hours=hours)))


def metrics() -> dict[str, float]:
    lines = scrape().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def status(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, object], int]:
    capsys.readouterr()
    code = 0
    try:
        call_command("status", json=True)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return json.loads(capsys.readouterr().out), code


@pytest.mark.django_db
def test_stopped_sealer_is_reported(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    person = make_principal(tenant, "ann", roles=("viewer",))
    assert b"waited" not in sign_in(person).get("/console/").content
    assert "waited" not in str(status(capsys)[0]["problem"])
    let_one_wait(tenant, hours=3)
    assert 10_799 < metrics()["threada_receipts_unsealed_oldest_seconds"] < 10_900
    facts, code = status(capsys)
    assert code == 1
    assert "waited 3 hours" in str(facts["problem"])
    assert b"Receipts have waited 3 hours" in sign_in(person).get("/console/").content


@pytest.mark.django_db
def test_another_tenants_alarm_is_not_shown(tenant: Tenant, other_tenant: Tenant) -> None:
    let_one_wait(other_tenant, hours=3)
    person = make_principal(tenant, "ann", roles=("viewer",))
    assert b"waited" not in sign_in(person).get("/console/").content


@pytest.mark.django_db
def test_broken_log_is_reported(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    with unit_of_work(tenant.id):
        LogAlarm.objects.create(tenant=tenant, kind="forked", signed_size=3, signed_root=b"x" * 32, found_size=3)
    assert metrics()["threada_logs_broken"] == 1
    facts, code = status(capsys)
    assert code == 1
    assert "A log is not the one" in str(facts["problem"])
    person = make_principal(tenant, "ann", roles=("viewer",))
    assert b"rolled back or changed" in sign_in(person).get("/console/").content


@pytest.mark.django_db(transaction=True)
def test_sealed_receipts_are_counted(tenant: Tenant, other_tenant: Tenant, tmp_path: Path) -> None:
    write_receipts(tenant, 5)
    SealingSetup(tmp_path).seal()
    with unit_of_work(tenant.id):
        here = LogLeaf.objects.count()
    with unit_of_work(other_tenant.id):
        there = LogLeaf.objects.count()
    found = metrics()
    assert found["threada_receipts_sealed"] == here + there > 5
    assert found["threada_receipts_unsealed"] == 0
    assert 0 <= found["threada_checkpoint_oldest_seconds"] < 60
