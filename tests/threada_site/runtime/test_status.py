"""`manage.py status`: metrics as text or JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as product
from django.core.management import call_command
from pytest_django import Settings

from telemetry.alarms import left_behind_alarm
from telemetry.receipts.signing import receipt_keyring
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.engines.choice import other_engine
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock
from threada_site.runtime.management.commands import status
from threada_site.tenancy.models import Tenant
from workitems.sweeps import adopt_jobs_of_another_engine

pytestmark = pytest.mark.django_db


NOTHING_RUNS = "Not running: web, worker, sealer. Start what is missing; manage.py up runs everything."


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the processes that other tests run meanwhile, on the same data directory."""
    monkeypatch.setattr(status, "processes_of", lambda *_: [])


def facts_of_status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `status` prints. It exits with 1, because no process of the instance runs."""
    with pytest.raises(SystemExit) as ended:
        call_command("status", json=True)
    assert ended.value.code == 1
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_status_shows_the_depth_of_the_queue(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    with unit_of_work(tenant.id):
        enqueue("workitems.re_evaluate_for_policies", tenant_id=tenant.id, step_id="x")
    facts = facts_of_status(capsys)
    assert facts["jobs_waiting"] == 1
    assert facts["jobs_running"] == 0
    assert facts["engine"] == product.THREADA_ENGINE
    assert facts["decision_steps_pending"] == 0
    assert facts["executions_open"] == 0
    assert facts["receipts_unsealed"] > 0
    assert facts["missing"] == ["web", "worker", "sealer"]
    assert facts["problem"] == NOTHING_RUNS


def test_status_says_that_one_account_has_the_keys(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.THREADA_DATA_DIR = tmp_path
    receipt_keyring().make()
    said = "web, worker and commands run under one account, so signatures of receipts do not tell them apart"
    facts = facts_of_status(capsys)
    assert facts["signatures"] == said
    assert said not in facts["problem"]
    (tmp_path / "keys" / "receipt_key_worker").unlink()  # it is on another machine
    assert "signatures" not in facts_of_status(capsys)


def test_status_reports_jobs_of_the_other_engine(
    tenant: Tenant, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.THREADA_ENGINE = other_engine()
    with unit_of_work(tenant.id):
        enqueue(
            "workitems.re_evaluate_for_policies",
            tenant_id=tenant.id,
            step_id="x",
            run_at=clock.now() - timedelta(minutes=3),
        )
        enqueue("workitems.sweep", tenant_id=tenant.id, once="workitems.sweep")  # the scheduler enqueues it again
    settings.THREADA_ENGINE = other_engine()
    facts = facts_of_status(capsys)
    assert (facts["jobs_waiting"], facts["jobs_left_behind"]) == (0, 1)
    assert 179 < facts["jobs_left_behind_oldest_due_seconds"] < 240
    assert facts["problem"].startswith("A job waits in the engine that THREADA_ENGINE does not name")
    adopt_jobs_of_another_engine()
    facts = facts_of_status(capsys)
    assert (facts["jobs_waiting"], facts["jobs_left_behind"]) == (1, 0)
    assert facts["problem"] == NOTHING_RUNS


def test_status_allows_a_minute_for_taking_over() -> None:
    assert left_behind_alarm(0, 0.0) is None
    assert left_behind_alarm(3, 59.9) is None
    assert str(left_behind_alarm(3, 60.0)).startswith("3 jobs wait in the engine that THREADA_ENGINE does not name")


def test_status_is_readable(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("status")
    lines = dict(
        line.split(maxsplit=2)[0::2] for line in capsys.readouterr().out.splitlines() if line.startswith("jobs w")
    )
    assert lines == {"jobs": "0"}
