"""An S3 server in its own process and virtual environment, which also holds `boto3` for the storage under test.

`.ci/run` creates the environment and names it in THREADA_TEST_S3. Tests that need it are skipped otherwise.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "s3" / "server.py"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Address of the server, its process, and the packages of its environment."""

    url: str
    process: subprocess.Popen[str]
    packages: str

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run the server with one bucket, `threada`."""
    python = Path(os.environ.get("THREADA_TEST_S3", "")) / "bin" / "python"
    if not python.is_file():
        pytest.skip("needs THREADA_TEST_S3: a virtual environment with tests/receivers/s3/requirements.txt")
    where = [str(python), "-c", "import boto3, pathlib; print(pathlib.Path(boto3.__file__).parent.parent)"]
    packages = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    command = [str(python), str(SERVER)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}", process, packages)
        finally:
            process.kill()
