from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from telemetry.verification.findings import VerificationStats
from telemetry.verification.log import verify_log
from tests.databases.contents import MD5, Values
from tests.jobs import run_jobs
from tests.journeys.demo import BANK_TOKEN, Demo, seeded_demo
from tests.receivers.fixtures import Receiver, receiver
from threada_site.database.unit_of_work import unit_of_work
from workitems.completeness.verify import verify_completeness

__all__ = ["receiver"]


@pytest.fixture
def demo(db: None, prepared: Values, settings: Settings) -> Iterator[Demo]:
    """Create the tenant `demo` as `manage.py up` does. Verify its receipts at the end of a journey."""
    settings.PASSWORD_HASHERS = MD5
    demo = prepared["demo"]() if "demo" in prepared else seeded_demo()
    tenant = demo.tenant
    yield demo
    with unit_of_work(tenant.id):
        assert list(verify_log(tenant, keys=[], older=[], stats=VerificationStats())) == []
        assert list(verify_completeness(tenant)) == []


@pytest.fixture
def bank(demo: Demo, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """Run the demo's bank: a receiver in its own process, which the operator allows to be called."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    monkeypatch.setenv("BANK_TOKEN", BANK_TOKEN)
    demo.put_bank(receiver.url)
    run_jobs()
    return receiver
