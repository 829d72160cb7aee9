"""The environment with the tools that check definitions of containers and charts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def tools() -> Path:
    """Return its folder of programs, or skip the test."""
    folder = Path(os.environ.get("THREADA_TEST_PACKAGE_TOOLS") or "absent") / "bin"
    if not folder.is_dir():
        reason = "needs THREADA_TEST_PACKAGE_TOOLS, as the function `packages` of `.ci/run` sets it up"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
