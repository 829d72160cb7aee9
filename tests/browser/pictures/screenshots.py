"""Pictures of the documents, from demo data: `uv run pytest -m browser -n 0 tests/browser/pictures/screenshots.py`.

The file has no name of a test, so that only this command writes docs/pictures. Pictures of the same code differ in times
and ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from playwright.sync_api import Browser

from tests.browser.scene import morning
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser

FOLDER: Final = Path(settings.THREADA_BASE_DIR) / "docs" / "pictures"
SIZE: Final = {"width": 1280, "height": 900}


def test_write_pictures(demo: Demo, chromium: Browser, server: str) -> None:
    scene = morning(demo)
    for theme in ("light", "dark"):
        context = chromium.new_context(
            viewport=SIZE, base_url=server, color_scheme=theme, locale="en-GB", reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto("/console/login/")
        page.fill("[name=username]", "finance-1")
        page.fill("[name=password]", PASSWORD)
        page.click("button[type=submit]")
        for name, path in (("desk", "desk"), ("decision", scene.changed)):
            page.goto(f"/console/workitems/decisionstep/{path}/")
            page.wait_for_load_state("networkidle")
            page.evaluate("document.fonts.ready")
            page.screenshot(path=FOLDER / f"{name}-{theme}.png", animations="disabled", full_page=name == "decision")
        context.close()
