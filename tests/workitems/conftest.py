from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.databases.contents import Values
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.office import Office, open_office
from tests.workitems.steps.matrix_people import add_people
from threada_site.tenancy.models import Tenant

__all__ = ["receiver"]


@pytest.fixture
def office(tenant: Tenant, prepared: Values) -> Office:
    return prepared["office"](tenant) if "office" in prepared else open_office(tenant)


@pytest.fixture
def staffed(office: Office, prepared: Values) -> Office:
    """Add the people of the vote matrix to the office."""
    if "office" not in prepared:
        add_people(office)
    return office


@pytest.fixture
def bank(office: Office, receiver: Receiver, settings: Settings) -> Receiver:
    """Run the office's bank: a receiver in its own process, which the operator allows to be called."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    office.put_bank(base_url=receiver.url)
    return receiver
