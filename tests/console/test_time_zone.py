"""Times in the console are shown in the time zone of the reader."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from telemetry.models import Receipt
from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.console.time_zone import COOKIE
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import User
from workitems.models import DecisionStep

ZONE = "/console/time-zone/"


@pytest.fixture
def busy(demo: Demo, busy_demo: Busy) -> Busy:
    with unit_of_work(demo.tenant.id):
        rows = DecisionStep.objects.filter(id=ids.parse_public_id(ids.DECISION_STEP, busy_demo.step))
        rows.update(expires_at=datetime(2026, 12, 24, 11, 30, tzinfo=UTC))
    return busy_demo


def page(browser: Client, busy: Busy) -> str:
    return browser.get(f"/console/workitems/decisionstep/{busy.step}/").content.decode()


def test_first_the_one_chosen_then_the_browsers_then_utc(demo: Demo, busy: Busy, console: Console) -> None:
    browser = console("finance-1")
    assert "2026-12-24 11:30:00 UTC" in page(browser, busy)
    for named, expected in (
        ("Asia/Kathmandu", "2026-12-24 17:15:00 UTC+05:45"),
        ("../../etc/passwd", "2026-12-24 11:30:00 UTC"),
        ("Europe%2FBerlin", "2026-12-24 12:30:00 CET"),
    ):
        browser.cookies[COOKIE] = named
        assert expected in page(browser, busy)
        assert 'datetime="2026-12-24T11:30:00.000Z"' in page(browser, busy)
    assert browser.post(ZONE, {"time_zone": "America/New_York"}).status_code == 302
    assert "2026-12-24 06:30:00 EST" in page(browser, busy)
    browser.post(ZONE, {"time_zone": ""})
    assert "2026-12-24 12:30:00 CET" in page(browser, busy)


def test_choosing_leaves_a_receipt_and_takes_no_nonsense(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert browser.get(ZONE).status_code == 200
    assert browser.post(ZONE, {"time_zone": "Mars/Olympus"}).status_code == 422
    assert User.objects.get(username="finance-1").time_zone == ""
    browser.post(ZONE, {"time_zone": "Europe/Berlin"})
    browser.post(ZONE, {"time_zone": "Europe/Berlin"})
    with unit_of_work(demo.tenant.id):
        assert Receipt.objects.filter(kind="principal.time_zone_set").count() == 1
    assert User.objects.get(username="finance-1").time_zone == "Europe/Berlin"
    assert "time zone" in browser.get("/console/").content.decode()


def test_times_that_are_typed_are_in_that_zone_too(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    browser.post(ZONE, {"time_zone": "Europe/Berlin"})
    typed = {"delegate": "finance-2", "starts_at": "2099-07-01T09:00", "ends_at": "2099-07-05T18:00"}
    assert browser.post("/console/workitems/delegation/new/", typed).status_code == 302
    (row,) = demo.client.get("/delegations").json()["data"]
    assert (row["starts_at"], row["ends_at"]) == ("2099-07-01T07:00:00.000Z", "2099-07-05T16:00:00.000Z")
