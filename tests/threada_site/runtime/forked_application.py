"""An application that reports which process loaded it and which serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

LOADED_BY = os.getpid()


def application(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{LOADED_BY} {os.getpid()}".encode()]
