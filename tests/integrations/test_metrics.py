"""Metrics of executions, calls and breakers across all tenants."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from integrations.models import Attempt, Execution, IntegrationGauge
from telemetry.models import SummaryCount
from tests.factories import make_tenant
from tests.scraping import scrape
from tests.threada_site.tenancy.rows import RowMaker
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids

pytestmark = pytest.mark.django_db


def metrics() -> dict[tuple[str, str], float]:
    text = scrape()
    assert "acme" not in text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_of_executions_calls_and_breakers() -> None:
    now = clock.now()
    for slug, seconds in (("acme", (1, 2)), ("acme-2", (3, 40))):
        tenant = make_tenant(slug)
        maker = RowMaker(tenant)
        with unit_of_work(tenant.id):
            for measure, label, count in (
                ("execution", "succeeded", 5),
                ("execution", "failed", 2),
                ("failure", "timeout", 2),
            ):
                SummaryCount(tenant=tenant, day=now.date(), measure=measure, label=label, count=count).save(
                    force_insert=True
                )
            maker.one(Execution)
            for number, took in enumerate(seconds):
                maker.build(
                    Attempt,
                    execution_id=maker.made[Execution].id,
                    number=number,
                    started_at=now - timedelta(seconds=took),
                    finished_at=now,
                ).save(force_insert=True)
            old = maker.build(Attempt, execution_id=maker.made[Execution].id, number=9, started_at=now, finished_at=now)
            old.id = ids.first_id_at(now - timedelta(minutes=20))
            old.id = old.id if slug == "acme" else ids.first_id_at(now - timedelta(minutes=21))
            old.save(force_insert=True)
            gauge = maker.build(IntegrationGauge, opened_at=now, waits_until=now + timedelta(minutes=1))
            gauge.waits_for = "breaker"
            gauge.save(force_insert=True)
            maker.build(
                Execution,
                work_item_id=ids.new_uuid(),
                status="running",
                waiting_until=now + timedelta(hours=1),
            ).save(force_insert=True)
    found = metrics()
    assert found["threada_executions_ended", "succeeded"] == 10
    assert found["threada_executions_ended", "failed"] == 4
    assert found["threada_executions_ended", "cancelled"] == 0
    assert found["threada_executions_ended_failures", "timeout"] == 4
    assert found["threada_executions_ended_failures", "bad_response"] == 0
    assert found["threada_calls_recent", ""] == 4
    assert [found["threada_call_seconds", q] for q in ("0.5", "0.95", "0.99")] == [2.0, 40.0, 40.0]
    assert found["threada_breakers_open", ""] == 2
    assert (found["threada_integrations_waiting", "breaker"], found["threada_integrations_waiting", "rate"]) == (2, 0)
    assert found["threada_executions_awaiting_callback", ""] == 2
