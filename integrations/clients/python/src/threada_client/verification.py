"""Verification of exported receipts, offline, by the auditors' verifier that is part of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from threada_client import threada_verify

_VERIFIER: Final = str(Path(threada_verify.__file__))
_DONE: Final = frozenset({0, 1, 2})


@dataclass(frozen=True)
class Verification:
    """Result of a verification. `report` is the report of the verifier, for example `receipts` and `checkpoint`."""

    is_verified: bool
    findings: list[dict[str, Any]]
    report: dict[str, Any]


def verify(
    evidence: Path,
    keys: Sequence[str | Path],
    *,
    against: Path | None = None,
    complete: bool = False,
    signed: bool = False,
) -> Verification:
    """Verify the file that `download_evidence` wrote, against public keys of the log.

    Get the keys from the people responsible for the instance, not from the API. `against` is an older checkpoint of
    your own; `complete` requires every receipt of the log, `signed` a valid signature of each by the process that
    wrote it. Raise `ValueError` for missing files and invalid keys, and
    without the extra `verify`. The verifier runs in a process of its own and opens no connection.
    """
    command = [sys.executable, _VERIFIER, "--json", *(f"--key={key}" for key in keys)]
    command += [f"--against={against}"] if against else []
    command += ["--complete"] if complete else []
    command += ["--signed"] if signed else []
    ran = subprocess.run([*command, "--", str(evidence)], capture_output=True, text=True, check=False)
    if ran.returncode not in _DONE or not ran.stdout:
        raise ValueError(ran.stderr.strip().removeprefix("threada_verify.py: ") or "The verifier failed.")
    report = json.loads(ran.stdout)
    return Verification(report["verified"] is True and ran.returncode == 0, report["findings"], report)
