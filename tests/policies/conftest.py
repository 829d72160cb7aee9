from __future__ import annotations

from collections.abc import Iterator

import pytest

from policies.deciding.decide import decide
from policies.models import Overlay
from tests.client import Api
from tests.factories import acting, make_principal
from tests.policies.over_http import client
from tests.policies.rulebooks import PAYMENTS, asking, put_in_force, put_payment_run
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant


@pytest.fixture
def ctx(tenant: Tenant) -> ActingContext:
    """Context of an administrator of the tenant."""
    return acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))


@pytest.fixture
def work(ctx: ActingContext) -> Iterator[ActingContext]:
    """Context inside a unit of work that stays open for the whole test."""
    with unit_of_work(ctx.tenant_id):
        yield ctx


@pytest.fixture
def admin(tenant: Tenant) -> Api:
    return client(tenant, "ada", "tenant_admin")


@pytest.fixture
def rulebook(ctx: ActingContext) -> dict[str, str]:
    """Create a rulebook in force. Return the names for URL paths."""
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        version = put_in_force(PAYMENTS, ctx=ctx)
        overlay = Overlay.objects.get()
        decision = decide(asking(), ctx=ctx)
    return {"version": version.public_id, "overlay": overlay.public_id, "decision": decision.public_id}
