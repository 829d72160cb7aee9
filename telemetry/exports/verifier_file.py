"""The stand-alone verifier as a file for download."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

VERIFIER_FILE: Final = "threada_verify.py"
VERIFIER_TYPE: Final = "text/x-python; charset=utf-8"


@cache
def verifier_source() -> bytes:
    """Return the bytes of the verifier, as in the source."""
    return (Path(__file__).resolve().parents[1] / "verifier" / VERIFIER_FILE).read_bytes()
