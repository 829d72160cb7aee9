"""Import of the Python client from its sources, and the place where `.ci/run` installs clients and generators."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = REPOSITORY / "integrations" / "clients"
sys.path.insert(0, str(SOURCES / "python" / "src"))


@pytest.fixture(scope="session")
def installed() -> Path:
    """Return the folder with the environments `python` and `generators`, and the npm packages in `typescript`."""
    folder = Path(os.environ.get("THREADA_TEST_CLIENTS") or "absent")
    if not (folder / "typescript" / "node_modules").is_dir():
        missing("needs THREADA_TEST_CLIENTS, as the function `clients` of `.ci/run` sets it up")
    return folder


def missing(reason: str) -> NoReturn:
    """Skip a test for which a package is missing; fail it where all are required."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
