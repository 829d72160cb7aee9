from __future__ import annotations

import pytest

from tests.threada_site.identity.change_sets.offices import Office, make_office
from threada_site.tenancy.models import Tenant


@pytest.fixture
def office(tenant: Tenant) -> Office:
    """Return a tenant whose rules change only through a second person."""
    found = make_office(tenant)
    found.require()
    return found
