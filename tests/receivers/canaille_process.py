"""Canaille in its own process and virtual environment.

`.ci/run` creates the environment and names it in THREADA_TEST_CANAILLE. Tests that need it are skipped otherwise.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROVIDER = Path(__file__).parent / "canaille" / "provider.py"


@contextmanager
def canaille_process(redirect_uri: str) -> Iterator[str]:
    """Run the provider with one client and one person. Yield its issuer."""
    python = Path(os.environ.get("THREADA_TEST_CANAILLE", "")) / "bin" / "python"
    if not python.is_file():
        pytest.skip("needs THREADA_TEST_CANAILLE: a virtual environment with tests/receivers/canaille/requirements.txt")
    command = [str(python), str(PROVIDER), redirect_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
