"""Console while receipts cannot be written: status 503, what to do, and nothing that was entered is lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.console.busy import Busy
from tests.console.portal.forms import plain_payments, send, stored, token_of
from tests.console.sign_in import Console
from tests.factories import make_principal
from tests.journeys.demo import Demo
from tests.telemetry.receipts.test_audit_unavailable import unsigned

SAID = {"en": "Receipts cannot be written", "de": "Belege können nicht geschrieben werden"}
AGAIN = {"en": "Reload this page to send your entries again.", "de": "Laden Sie diese Seite neu"}


def page_of(answer: Any, language: str = "en") -> str:
    """Return a page that says that receipts cannot be written."""
    page = str(answer.content.decode())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), page
    assert SAID[language] in page
    return page


@pytest.fixture
def open_pages(console: Console) -> Console:
    """Return signed-in browsers that show the answer to an error instead of raising it."""

    def open_for(name: str) -> Client:
        browser = console(name)
        browser.raise_request_exception = False
        return browser

    return open_for


def test_the_form_of_a_request_keeps_its_entries(demo: Demo, open_pages: Console) -> None:
    demo.join("rita", roles=("requester",))
    plain_payments(demo)
    rita = open_pages("rita")
    before, token = stored(demo), token_of(rita)
    with unsigned(""):
        page = page_of(send(rita, token=token, vendor="Hooli", amount_minor="900"))
    assert 'value="Hooli"' in page
    assert f'value="{token}"' in page
    assert stored(demo) == before
    assert send(rita, token=token, vendor="Hooli", amount_minor="900").status_code == 302
    assert stored(demo) == (before[0] + 1, before[1] + 1)


def test_a_form_page_keeps_its_entries(demo: Demo, open_pages: Console) -> None:
    make_principal(demo.tenant, "ivy", roles=("integration_manager",))
    ivy = open_pages("ivy")
    sent = {"secret_id": "bank_token", "value": "canary-77", "origins": "https://bank.example"}
    with unsigned(""):
        page = page_of(ivy.post("/console/integrations/storedsecret/new/", sent))
    assert 'value="bank_token"' in page
    assert "https://bank.example" in page
    assert "canary-77" not in page
    assert ivy.post("/console/integrations/storedsecret/new/", sent).status_code == 302


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_button_and_a_page_of_one_form_say_what_to_do(
    demo: Demo, busy_demo: Busy, open_pages: Console, language: str
) -> None:
    finance, spoken = open_pages("finance-1"), {"Accept-Language": language}
    claim = reverse("admin:workitems_decisionstep_claim", args=[busy_demo.step])
    with unsigned(""):
        pressed = page_of(finance.post(claim, headers=spoken), language)
        chosen = page_of(finance.post("/console/time-zone/", {"time_zone": "Europe/Berlin"}, headers=spoken), language)
    assert AGAIN[language] in pressed
    assert AGAIN[language] in chosen
    assert finance.post(claim).status_code == 302


def test_many_rows_are_answered_one_by_one(demo: Demo, busy_demo: Busy, open_pages: Console) -> None:
    chosen = {"do": "assign", "origin": "desk", "row": busy_demo.step}
    sent = {**chosen, "confirmed": "true", "to": "finance-2", "given_reason": "Away"}
    with unsigned(""):
        answer = open_pages("finance-1").post("/console/workitems/decisionstep/bulk/", sent)
    assert answer.status_code == 200
    assert SAID["en"] in answer.content.decode()
