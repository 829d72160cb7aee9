"""One server for tests that only read, and a directory for tests that start their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from threada_site.postgres import Cluster, ensure_running, stop
from threada_site.postgres.home import service_home


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Create a data directory for one test; stop a server that was started in it."""
    yield from _root(tmp_path / "data")


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from _root(tmp_path_factory.mktemp("shared") / "data")


@pytest.fixture(scope="module")
def cluster(shared_root: Path) -> Cluster:
    return ensure_running(shared_root)


def _root(path: Path) -> Iterator[Path]:
    yield path
    stop(path)
    shutil.rmtree(service_home(path.resolve()), ignore_errors=True)
