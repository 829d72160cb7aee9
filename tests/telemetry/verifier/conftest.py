from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.telemetry.tlog.logs import Log
from tests.telemetry.verifier.evidence import KEY, Verdict, log_of, verifier

type Run = Callable[..., Verdict]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the verifier in this process with the right key and a JSON report."""

    def run_it(*arguments: str | Path, key: str | None = KEY, as_json: bool = True) -> Verdict:
        given = [*(("--key", key) if key else ()), *map(str, arguments), *(("--json",) if as_json else ())]
        capsys.readouterr()
        code = verifier().main(given)
        captured = capsys.readouterr()
        return Verdict(code, captured.out, captured.err)

    return run_it


@pytest.fixture(scope="session")
def log() -> Log:
    """Create a log of 600 receipts, which is more than one tile."""
    return log_of(600)
