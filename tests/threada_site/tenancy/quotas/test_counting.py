"""Counting of usage by the job: all kinds, stored bytes in batches, and metrics over tenants."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pytest_django import Settings

from tests.workitems.office import Office, open_office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_quota
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant, TenantQuota
from threada_site.tenancy.quotas import counting
from threada_site.tenancy.quotas.counting import count_usage
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.metrics import quota_metrics
from workitems.models import WorkItem


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)


def count_at(office: Office, now: datetime) -> int:
    with unit_of_work(office.tenant.id):
        count_usage(office.tenant.id, now=now)
        return TenantQuota.objects.get(kind=Quota.STORED_BYTES).used


def add_items(office: Office, count: int, size: int) -> None:
    for _ in range(count):
        office.create(payload={"amount": 1, "vendor": "x" * size})


def test_stored_bytes_grow_with_contents_and_shrink_after_a_day(office: Office) -> None:
    later = clock.now() + timedelta(minutes=2)
    before = count_at(office, later)
    assert before > 0, "documents of the office"
    add_items(office, 4, 20_000)
    assert count_at(office, later + timedelta(minutes=1)) >= before + 4 * 200  # compressed
    grown = count_at(office, later + timedelta(minutes=3))
    with unit_of_work(office.tenant.id):
        WorkItem.objects.update(payload={})
    assert count_at(office, later + timedelta(hours=20)) == grown
    assert count_at(office, later + timedelta(hours=25)) < grown


def test_recent_rows_wait_for_transactions_with_older_ids(office: Office) -> None:
    now = clock.now()
    before = count_at(office, now - timedelta(hours=1))
    assert before == 0
    assert count_at(office, now + timedelta(minutes=2)) > 0


def test_batches_add_up_to_the_whole(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(office, 7, 500)
    later = clock.now() + timedelta(minutes=2)
    whole = count_at(office, later)
    with unit_of_work(office.tenant.id):
        TenantQuota.objects.update(progress={}, used=0)
    monkeypatch.setattr(counting, "ROWS_AT_ONCE", 2)
    found = [count_at(office, later + timedelta(minutes=minute)) for minute in range(6)]
    assert found == sorted(found)
    assert found[0] < whole
    assert found[-1] == whole


def test_a_new_pass_shows_the_old_count_until_it_is_whole(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(office, 7, 500)
    later = clock.now() + timedelta(minutes=2)
    whole = count_at(office, later)
    monkeypatch.setattr(counting, "ROWS_AT_ONCE", 2)
    assert count_at(office, later + timedelta(hours=25)) == whole


def test_metrics_name_no_tenant(office: Office, other_tenant: Tenant, settings: Settings) -> None:
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "open_work_items": 4}
    other = open_office(other_tenant)
    add_items(office, 2, 1)
    add_items(other, 4, 1)
    for each in (office, other):
        count_at(each, clock.now())
    with unit_of_work(office.tenant.id):
        set_quota(Quota.EXPORTS, 0, ctx=office.system)
    with platform_role():
        found = {(metric.name, dict(metric.labels)["quota"]): metric.value for metric in quota_metrics()}
    assert found["threada_quota_tenants_at_limit", "open_work_items"] == 1
    assert found["threada_quota_largest_share", "open_work_items"] == 1.0
    assert found["threada_quota_tenants_at_limit", "exports"] == 1
    assert found["threada_quota_tenants_at_limit", "deliveries"] == 0
    assert len(found) == 2 * len(Quota)
