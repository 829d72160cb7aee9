"""Every page opens, for every model that is registered."""

from __future__ import annotations

import pytest
from django.contrib.admin import site
from django.urls import reverse

from tests.console.people import Console
from tests.journeys.demo import LARGE, Demo

LISTS = sorted(f"{model._meta.app_label}_{model._meta.model_name}" for model in site._registry)


@pytest.fixture
def busy(demo: Demo) -> Demo:
    """A tenant with something of everything."""
    demo.wait()
    item = demo.hand_in(LARGE)
    demo.wait()
    demo.execute(item)
    demo.client.post("/telemetry/exports", {})
    return demo


def test_dashboard(busy: Demo, console: Console) -> None:
    page = console("finance-1").get("/console/")
    assert page.status_code == 200
    assert "Waiting for you" in page.content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_list_and_row_pages_open(name: str, busy: Demo, console: Console) -> None:
    browser = console("admin")
    page = browser.get(reverse(f"admin:{name}_changelist"))
    assert page.status_code == 200
    rows = page.context["rows"]
    assert rows
    for url, _ in rows[:5]:
        assert browser.get(url).status_code == 200, url
