from __future__ import annotations

import pytest

from tests.factories import make_tenant
from tests.threada_site.scim.provisioning import Provisioning, provisioning_of
from threada_site.tenancy.models import Tenant


@pytest.fixture
def acme(db: None) -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def scim(acme: Tenant) -> Provisioning:
    return provisioning_of(acme)
