"""The first minutes of README.md and the tutorials, followed in a new instance and a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.adversarial.server import running_server
from tests.browser.conftest import chromium
from tests.clients.tutorial import Reader, follow_agent, follow_first_action, follow_readme, follow_two_people

__all__ = ["chromium"]  # a fixture
pytestmark = [pytest.mark.slow, pytest.mark.walk]


def test_pages_lead_where_they_say(chromium: Browser, tmp_path: Path) -> None:
    """Begin with an empty folder; end with evidence that the offline verifier accepts."""
    with running_server(tmp_path, is_copied=False) as server:
        follow_readme(Reader(server, tmp_path), chromium)
        reader = Reader(server, tmp_path)
        follow_first_action(reader)
        follow_two_people(reader, chromium)
        crashed, output = follow_agent(reader, chromium)
    ids = re.findall(r"(wi_\w+) (ex_\w+) awaiting_approval", crashed)
    assert ids
    assert re.findall(r"(wi_\w+) (ex_\w+) awaiting_approval", output) == ids
    assert "succeeded" in output
    assert "VERIFIED" in output
