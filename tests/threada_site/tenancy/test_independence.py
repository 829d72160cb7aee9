"""Independence of people: shared controllers, chains, and the people behind agents and services."""

from __future__ import annotations

import pytest

from tests.factories import acting, acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import issue_credential
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import AccountDependence, Tenant, User

pytestmark = pytest.mark.django_db


def depend(tenant: Tenant, who: User, on: User) -> None:
    AccountDependence.objects.create(tenant=tenant, user=who, depends_on=on, reason="created")


def test_controlled_accounts_are_not_independent_until_the_dependence_ends(tenant: Tenant) -> None:
    ada, bea, cleo, dan = (make_principal(tenant, name) for name in ("ada", "bea", "cleo", "dan"))
    with unit_of_work(tenant.id):
        depend(tenant, bea, ada)
        depend(tenant, cleo, bea)
        assert not is_independent_of(ada.id, [ada.id], tenant_id=tenant.id)
        assert not is_independent_of(ada.id, [cleo.id], tenant_id=tenant.id)
        assert not is_independent_of(cleo.id, [dan.id, ada.id], tenant_id=tenant.id)
        assert is_independent_of(ada.id, [dan.id, None], tenant_id=tenant.id)
        depend(tenant, dan, ada)
        assert not is_independent_of(dan.id, [cleo.id], tenant_id=tenant.id)
        AccountDependence.objects.update(ended_at=clock.now())
        assert is_independent_of(dan.id, [ada.id, bea.id, cleo.id], tenant_id=tenant.id)


def test_the_owner_and_the_issuer_of_a_service_are_behind_it(tenant: Tenant) -> None:
    ada, bea, cleo = (make_principal(tenant, name, roles=("tenant_admin",)) for name in ("ada", "bea", "cleo"))
    service = make_principal(tenant, "robo", kind=PrincipalKind.SERVICE)
    with unit_of_work(tenant.id):
        assert is_independent_of(ada.id, [service.id], tenant_id=tenant.id)
        set_owner(service, "ada", ctx=acting_system(tenant))
        issue_credential(principal=service, scopes=["workitems:read"], label="", ctx=acting(tenant, bea))
        assert not is_independent_of(ada.id, [service.id], tenant_id=tenant.id)
        assert not is_independent_of(bea.id, [service.id], tenant_id=tenant.id)
        assert is_independent_of(cleo.id, [service.id], tenant_id=tenant.id)
