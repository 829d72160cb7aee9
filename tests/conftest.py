"""What every test may ask for: a tenant, people in it, and a client that speaks for one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from tests.client import Api
from tests.factories import make_tenant
from threada_site.tenancy.models import Tenant


@pytest.fixture(autouse=True)
def outside_any_tenant() -> None:
    """A test that failed inside a unit of work must not lend its tenant to the next one."""
    connection.threada_tenant = None


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def other_tenant(db: None) -> Tenant:
    return make_tenant("globex")


@pytest.fixture
def api() -> Callable[..., Api]:
    """`api(token).get("/me")`; `api()` sends no credential."""
    return Api
