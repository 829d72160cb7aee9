"""Two tenants with one row in every tenant table."""

from __future__ import annotations

import pytest

from tests.threada_site.tenancy.rows import RowMaker
from threada_site.tenancy.models import Tenant


@pytest.fixture
def own(tenant: Tenant) -> RowMaker:
    maker = RowMaker(tenant)
    maker.one_of_each()
    return maker


@pytest.fixture
def others(other_tenant: Tenant) -> RowMaker:
    maker = RowMaker(other_tenant)
    maker.one_of_each()
    return maker
