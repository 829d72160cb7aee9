"""The first minutes of README.md, followed in a running instance and a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.adversarial.server import running_server
from tests.browser.conftest import chromium
from tests.clients.tutorial import Reader, follow_readme

__all__ = ["chromium"]  # a fixture
pytestmark = pytest.mark.slow


def test_the_way_of_the_readme_ends_with_a_vote_that_counts(chromium: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        follow_readme(Reader(server, tmp_path), chromium)
