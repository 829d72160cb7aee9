"""The first payment in the demo tenant, as `manage.py up` installs it: nothing is sent, and every record says so."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.jobs import run_jobs
from tests.journeys.demo import LARGE, SMALL, Demo
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant


@pytest.fixture
def first_start(db: None, settings: Settings) -> Demo:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    run_jobs()
    return Demo(Tenant.objects.get(slug="demo"), secrets)


def test_small_payment_ends_as_a_simulated_success(first_start: Demo) -> None:
    item = first_start.hand_in(SMALL)
    execution = first_start.execute(item).json()["execution_id"]
    first_start.wait()
    shown = first_start.execution(execution)
    assert (shown["status"], shown["simulated"], shown["failure"]) == ("succeeded", True, None)
    assert first_start.item(item)["status"] == "resolved"
    explained = first_start.client.get(f"/work-items/{item}/explain").json()
    assert "pay on int_bank was simulated: nothing was sent." in explained["why"]
    (done,) = [event for event in first_start.story(item) if event["kind"] == "execution.succeeded"]
    assert done["body"]["outcome"]["simulated"] is True


def test_large_payment_needs_two_people_first(first_start: Demo) -> None:
    item = first_start.hand_in(LARGE)
    execution = first_start.execute(item).json()["execution_id"]
    step = first_start.step_of(item)
    assert step["envelope"]["integration"]["connector"] == "mock"
    for name in ("finance-1", "finance-2"):
        assert first_start.vote(name, step).json()["counted"] is True
    first_start.wait()
    assert first_start.execution(execution)["simulated"] is True
    assert first_start.item(item)["status"] == "resolved"
