"""Two tenants with one row in every tenant table."""

from __future__ import annotations

import pytest

from tests.databases.contents import Values
from tests.threada_site.tenancy.rows import RowMaker
from threada_site.tenancy.models import Tenant


@pytest.fixture
def own(tenant: Tenant, prepared: Values) -> RowMaker:
    return prepared["own"](tenant)


@pytest.fixture
def others(own: RowMaker, other_tenant: Tenant, prepared: Values) -> RowMaker:
    return prepared["others"](other_tenant)
