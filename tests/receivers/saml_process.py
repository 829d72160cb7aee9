"""pysaml2's identity provider in its own process. Tests that need it are skipped without Debian's `xmlsec1`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "saml" / "provider.py"


@contextmanager
def saml_process(service_metadata: bytes, folder: Path) -> Iterator[str]:
    """Run the provider for one service provider. Yield its address; its metadata is at `/metadata`."""
    if shutil.which("xmlsec1") is None:
        pytest.skip("needs xmlsec1 (apt-get install xmlsec1)")
    known = folder / "service.xml"
    known.write_bytes(service_metadata)
    command = [sys.executable, str(PROGRAM), str(known), str(folder)]
    with (
        (folder / "provider.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            port = process.stdout.readline()
            assert port, (folder / "provider.log").read_text()
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            process.kill()
