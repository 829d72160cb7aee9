from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.jobs import run_jobs
from tests.journeys.demo import BANK_TOKEN, Demo
from tests.receivers.fixtures import Receiver, receiver
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant

__all__ = ["receiver"]


@pytest.fixture
def demo(db: None, settings: Settings) -> Demo:
    """The tenant `demo`, seeded as `manage.py up` seeds it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    run_jobs()
    return Demo(Tenant.objects.get(slug="demo"), secrets)


@pytest.fixture
def bank(demo: Demo, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The demo's bank: a receiver in its own process, which the operator allows to be called."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    monkeypatch.setenv("BANK_TOKEN", BANK_TOKEN)
    demo.put_bank(receiver.url)
    run_jobs()
    return receiver
