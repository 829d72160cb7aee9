"""Trusted issuers at the same moment: two tenants with one pair, an exchange and a withdrawal, two first uses."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant
from tests.races import after, rounds_until
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import Issuer, mapping
from tests.threada_site.identity.trusted_issuers.test_exchange import exchange
from tests.workitems.test_concurrency import at_once, refused
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers.configure import withdraw_trusted_issuer
from threada_site.tenancy.models import Membership, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_tenants_declare_one_issuer_and_audience(tenant: Tenant, settings: Settings) -> None:
    settings.THREADA_WORKLOAD_AUDIENCES = ["acme=api://shared", "globex=api://shared"]
    other, winners = make_tenant("globex"), set[str]()
    for number, (first, second) in enumerate(rounds_until(winners)):
        issuer = Issuer(name=f"https://issuer-{number}.test")

        def declare(where: Tenant, issuer: Issuer = issuer, number: int = number) -> str:
            trust(where, issuer, slug=f"ci-{number}", audience="api://shared")
            return where.slug

        results = at_once(after(first, lambda: declare(tenant)), after(second, lambda: declare(other)))
        assert refused(results) == ["conflict"], results
        winners |= {result for result in results if isinstance(result, str)}


def test_exchange_at_the_moment_of_the_withdrawal(tenant: Tenant, settings: Settings) -> None:
    make_principal(tenant, "deployer", "service", roles=["requester"])
    issuer, seen = Issuer(), set[int]()

    def withdraw() -> None:
        with unit_of_work(tenant.id):
            withdraw_trusted_issuer("ci", ctx=acting_system(tenant))

    for first, second in rounds_until(seen):
        trust(tenant, issuer)
        token = issuer.token()
        answer: Any = at_once(after(first, lambda token=token: exchange(token)), after(second, withdraw))[0]
        seen.add(answer.status_code)
        if answer.status_code == 200:
            assert Api(answer.json()["access_token"]).get("/me").status_code == 401


def test_principal_is_created_once(tenant: Tenant) -> None:
    make_principal(tenant, "ann")
    issuer = Issuer()
    trust(tenant, issuer, mapping(principal="robot", roles=["requester"], create={"kind": "agent", "owner": "ann"}))
    tokens = [issuer.token() for _ in range(4)]
    answers = at_once(*[lambda token=token: Api(token).get("/me") for token in tokens])
    assert [answer.status_code for answer in answers] == [200] * 4
    with unit_of_work(tenant.id):
        assert Membership.objects.filter(user__username="robot").count() == 1
