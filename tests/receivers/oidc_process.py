"""npm's oidc-provider in its own process.

`.ci/run` copies the folder `oidc`, runs `npm ci` in the copy, and names it in THREADA_TEST_OIDC. Tests that need it are
skipped otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("THREADA_TEST_OIDC") or Path(__file__).parent / "oidc")


@contextmanager
def oidc_process(redirect_uri: str) -> Iterator[str]:
    """Run the provider with one client. Yield its issuer."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("needs node, and THREADA_TEST_OIDC: a copy of tests/receivers/oidc after `npm ci`")
    command = [node, "provider.mjs", redirect_uri]
    with subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
