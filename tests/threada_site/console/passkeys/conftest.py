from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.databases.contents import MD5
from tests.factories import PASSWORD, acting_system, make_principal, make_tenant
from tests.threada_site.sign_in.conftest import provider
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import Tenant, User

__all__ = ["provider"]


@pytest.fixture
def acme(db: None, settings: Settings) -> Tenant:
    settings.PASSWORD_HASHERS = MD5
    return make_tenant()


@pytest.fixture
def fay(acme: Tenant) -> User:
    return member(acme, "fay")


@pytest.fixture
def bob(acme: Tenant) -> User:
    return member(acme, "bob")


def member(tenant: Tenant, name: str) -> User:
    """Create a member with a password."""
    person = make_principal(tenant, name, roles=["viewer"])
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    return person
