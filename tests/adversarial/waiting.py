"""Waiting for other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 120.0


def until(is_so: Callable[[], Any], *, seconds: float = PATIENCE_S, pause_s: float = 0.1) -> float:
    """Wait until the condition is true and return how long it took. Fail the test after `seconds`."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(pause_s)
    return time.monotonic() - began
