"""Notice of agents and services without a known owner on the dashboard."""

from __future__ import annotations

from tests.console.sign_in import sign_in
from tests.factories import make_principal
from threada_site.tenancy.models import Tenant

SAID = "Nobody is known to control"


def test_stewards_see_who_has_no_known_owner_and_others_do_not(tenant: Tenant) -> None:
    steward = make_principal(tenant, "ada", roles=["tenant_admin"])
    reader = make_principal(tenant, "wim", roles=["viewer"])
    make_principal(tenant, "owned", kind="service")
    assert SAID not in sign_in(steward).get("/console/").content.decode()
    stray = make_principal(tenant, "stray", kind="service", owner="")
    page = sign_in(steward).get("/console/").content.decode()
    assert SAID in page
    assert f"/console/tenancy/membership/{stray.public_id}/" in page
    assert SAID not in sign_in(reader).get("/console/").content.decode()
