"""`manage.py status`: the figures of `/metrics` for a person, or as JSON."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.core.management import call_command

from threada_site.tenancy.jobs import enqueue
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.unit_of_work import unit_of_work

pytestmark = pytest.mark.django_db


def test_it_says_how_deep_the_queue_is(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    with unit_of_work(tenant.id):
        enqueue("workitems.expire_step", tenant_id=tenant.id, step_id="x")
    call_command("status", json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["jobs_waiting"] == 1
    assert facts["jobs_running"] == 0
    assert facts["engine"] == settings.THREADA_ENGINE
    assert facts["decision_steps_pending"] == 0
    assert facts["executions_open"] == 0
    assert facts["receipts_unsealed"] > 0
    assert "problem" not in facts


def test_it_can_be_read(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("status")
    lines = dict(
        line.split(maxsplit=2)[0::2] for line in capsys.readouterr().out.splitlines() if line.startswith("jobs w")
    )
    assert lines == {"jobs": "0"}
