from __future__ import annotations

import pytest

from tests.workitems.office import Office, open_office
from threada_site.tenancy.models import Tenant


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)
