"""The instance that floods of several kinds meet one after another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adversarial.server import Server, running_server


@pytest.fixture(scope="session")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("flooded")) as running:
        yield running
