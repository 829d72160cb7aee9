"""Requests in the console: the form, its submission, and the page of the request."""

from __future__ import annotations

from tests.console.portal.forms import FORM, REQUESTS, send, stored
from tests.console.sign_in import Console
from tests.journeys.demo import Demo


def test_a_large_payment_waits_for_two_people(demo: Demo, console: Console) -> None:
    demo.join("rita")
    browser = console("rita")
    home = browser.get("/console/").content.decode()
    assert f'href="{FORM}"' in home
    answer = send(browser, vendor="Hooli", amount_minor="2000000")
    assert answer.status_code == 302, answer.content.decode()
    page = browser.get(answer["Location"]).content.decode()
    assert "Waiting for approval" in page
    assert "finance" in page
    assert stored(demo) == (2, 1)  # one item is of the demo
    listed = browser.get(REQUESTS).content.decode()
    assert "Waiting for approval" in listed
    assert "finance" in listed
