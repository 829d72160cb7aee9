"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 120.0


def until(is_so: Callable[[], Any], *, seconds: float = PATIENCE_S, pause_s: float = 0.1) -> float:
    """Wait for it; how long it took. Fails the test when it takes longer than `seconds`."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(pause_s)
    return time.monotonic() - began
