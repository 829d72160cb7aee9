from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from pytest_django import Settings

from tests.console.busy import Busy, busy_tenant
from tests.console.sign_in import Console, sign_in, step_up
from tests.databases.contents import MD5, Values
from tests.journeys.demo import Demo, seeded_demo
from threada_site.tenancy.models import User

admin.autodiscover()  # tests are made for each page


@pytest.fixture
def demo(db: None, prepared: Values, settings: Settings) -> Demo:
    """Create the tenant `demo` as `manage.py up` does."""
    settings.PASSWORD_HASHERS = MD5
    return prepared["demo"]() if "demo" in prepared else seeded_demo()


@pytest.fixture
def busy_demo(demo: Demo, prepared: Values) -> Busy:
    """Add rows of every kind to the demo tenant."""
    return prepared["busy_demo"]() if "busy_demo" in prepared else busy_tenant(demo)


@pytest.fixture
def console(demo: Demo) -> Console:
    """Return a factory of signed-in clients: `console("finance-1")`."""

    def open_for(name: str) -> Client:
        return sign_in(User.objects.get(username=name))

    return open_for


@pytest.fixture
def stepped_up(demo: Demo) -> Console:
    """Return a factory of signed-in clients that have just proved who they are."""

    def open_for(name: str) -> Client:
        return step_up(sign_in(User.objects.get(username=name)))

    return open_for
