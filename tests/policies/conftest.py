from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.factories import acting, make_principal
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.unit_of_work import unit_of_work


@pytest.fixture
def ctx(tenant: Tenant) -> ActingContext:
    """An administrator of the tenant."""
    return acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))


@pytest.fixture
def work(ctx: ActingContext) -> Iterator[ActingContext]:
    """A unit of work that is open for the whole test, and who acts in it."""
    with unit_of_work(ctx.tenant_id):
        yield ctx
