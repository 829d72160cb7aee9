from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from telemetry.services.verification import VerificationStats, verify_log
from tests.jobs import run_jobs
from tests.journeys.demo import BANK_TOKEN, Demo
from tests.receivers.fixtures import Receiver, receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant
from workitems.completeness.verify import verify_completeness

__all__ = ["receiver"]


@pytest.fixture
def demo(db: None, settings: Settings) -> Iterator[Demo]:
    """The tenant `demo`, seeded as `manage.py up` seeds it. At the end of a journey its receipts hold and are complete."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    run_jobs()
    tenant = Tenant.objects.get(slug="demo")
    yield Demo(tenant, secrets)
    with unit_of_work(tenant.id):
        assert list(verify_log(tenant, keys=[], older=[], stats=VerificationStats())) == []
        assert list(verify_completeness(tenant)) == []


@pytest.fixture
def bank(demo: Demo, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The demo's bank: a receiver in its own process, which the operator allows to be called."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    monkeypatch.setenv("BANK_TOKEN", BANK_TOKEN)
    demo.put_bank(receiver.url)
    run_jobs()
    return receiver
