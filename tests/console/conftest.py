from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from tests.console.sign_in import Console, sign_in
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant, User


@pytest.fixture
def demo(db: None, settings: Settings) -> Demo:
    """The tenant `demo`, seeded as `manage.py up` seeds it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    run_jobs()
    return Demo(Tenant.objects.get(slug="demo"), secrets)


@pytest.fixture
def console(demo: Demo) -> Console:
    """`console("finance-1")` is that person's browser, signed in."""

    def open_for(name: str) -> Client:
        return sign_in(User.objects.get(username=name))

    return open_for
