"""Fetches of keys of trusted issuers: pauses after failures, fair order, and what they do not delay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from integrations.issuer_keys.fetch import LONGEST_PAUSE, MOST_OF_TENANT, enqueue_due_fetches, fetch_issuer_keys
from tests.factories import acting_system, make_tenant
from tests.jobs import lose_all_jobs, run_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver, receiver  # noqa: F401 - a fixture
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.jobs.enqueue import DELIVERY_QUEUE
from threada_site.jobs.pools import all_pools
from threada_site.kernel import clock
from threada_site.kernel.errors import QuotaExceeded
from threada_site.tenancy.models import Tenant, TrustedIssuer


@pytest.fixture(autouse=True)
def public_url(settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = PUBLIC_URL
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]


@pytest.fixture
def failing(receiver: Receiver) -> Issuer:  # noqa: F811
    issuer = Issuer(receiver)
    receiver.behave({}, status=503)
    return issuer


def trust(tenant: Tenant, issuer: Issuer, *, slug: str = "ci", **more: Any) -> TrustedIssuer:
    with unit_of_work(tenant.id):
        document = parse_trusted_issuer(spec(issuer, **more))
        return upsert_trusted_issuer(slug, document, ctx=acting_system(tenant)).row


def state_of(tenant: Tenant, row: TrustedIssuer) -> TrustedIssuer:
    with unit_of_work(tenant.id):
        return TrustedIssuer.objects.get(id=row.id)


def pretend(tenant: Tenant, row: TrustedIssuer, **values: Any) -> None:
    with unit_of_work(tenant.id):
        TrustedIssuer.objects.filter(id=row.id).update(**values)


def test_pause_doubles_after_each_failure_and_ends_with_a_success(
    tenant: Tenant,
    failing: Issuer,
    receiver: Receiver,  # noqa: F811
) -> None:
    row = trust(tenant, failing)
    pauses = []
    for _ in range(7):
        begun = clock.now()
        fetch_issuer_keys(tenant, row.id, ctx=acting_system(tenant))
        found = state_of(tenant, row)
        assert "503" in found.keys_problem
        assert found.keys_due_at is not None
        pauses.append(round((found.keys_due_at - begun) / timedelta(minutes=1)))
        pretend(tenant, row, keys_due_at=clock.now(), keys_tried_at=begun - timedelta(hours=1))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert timedelta(minutes=30) == LONGEST_PAUSE
    failing.publish()
    fetch_issuer_keys(tenant, row.id, ctx=acting_system(tenant))
    found = state_of(tenant, row)
    assert (found.keys_problem, found.keys_failures) == ("", 0)


def test_unknown_key_ids_do_not_shorten_the_pause(
    tenant: Tenant,
    failing: Issuer,
    receiver: Receiver,  # noqa: F811
) -> None:
    row = trust(tenant, failing)
    fetch_issuer_keys(tenant, row.id, ctx=acting_system(tenant))
    asked = len(receiver.requests())
    later = clock.now() + timedelta(minutes=30)
    pretend(
        tenant, row, keys_due_at=later, keys_tried_at=clock.now() - timedelta(minutes=5), keys_wanted_at=clock.now()
    )
    lose_all_jobs()
    assert enqueue_due_fetches(now=clock.now()) == 0
    fetch_issuer_keys(tenant, row.id, ctx=acting_system(tenant))
    assert len(receiver.requests()) == asked
    assert enqueue_due_fetches(now=later) == 1


def test_issuers_that_fail_come_last_and_a_tenant_has_a_share(tenant: Tenant, failing: Issuer) -> None:
    other = make_tenant("globex")
    rows = [
        trust(tenant, failing, slug=f"i{number}", audience=f"{PUBLIC_URL}/acme/{number}")
        for number in range(MOST_OF_TENANT + 3)
    ]
    for row in rows:
        pretend(tenant, row, keys_failures=3, keys_due_at=clock.now() - timedelta(hours=1))
    trust(other, failing)
    lose_all_jobs()
    assert enqueue_due_fetches(now=clock.now()) == MOST_OF_TENANT + 1
    jobs = [(job.arguments["tenant_id"], job.priority) for job in waiting_jobs()]
    assert jobs[0] == (str(other.id), 0)
    assert {priority for tenant_id, priority in jobs if tenant_id == str(tenant.id)} == {-1}


def test_fetches_share_no_queue_with_other_jobs(tenant: Tenant, failing: Issuer) -> None:
    trust(tenant, failing)
    (job,) = waiting_jobs()
    (pool,) = [pool for pool in all_pools(4) if job.queue in pool.queues]
    assert pool.queues == (job.queue,)
    assert job.queue != DELIVERY_QUEUE


def test_quota_of_trusted_issuers(tenant: Tenant, failing: Issuer, settings: Settings) -> None:
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "trusted_issuers": 1}
    trust(tenant, failing)
    trust(tenant, failing, algorithms=["ES256"])  # another version
    with pytest.raises(QuotaExceeded):
        trust(tenant, failing, slug="second", audience=f"{PUBLIC_URL}/acme/2")


@pytest.mark.slow
def test_an_issuer_that_hangs_is_given_up(tenant: Tenant, receiver: Receiver) -> None:  # noqa: F811
    issuer = Issuer(receiver)
    receiver.behave({"/.well-known/openid-configuration": {"delay_s": 60}}, status=404)
    row = trust(tenant, issuer)
    begun: datetime = clock.now()
    run_jobs()
    assert clock.now() - begun < timedelta(seconds=20)
    assert "No complete answer" in state_of(tenant, row).keys_problem
