"""Processes that end when their parent ends, however that happens. Imports no Django."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_SET_PARENT_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_prctl: Callable[..., int] | None = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process signal `number` when its parent ends. Linux only.

    Called in a child after the fork and after a change of its user, which would clear the setting. `parent`: process id
    of the parent. If that has ended before the call, this process ends at once.
    """
    if _prctl is not None:
        _prctl(_SET_PARENT_DEATH_SIGNAL, number)
        if os.getppid() != parent:
            os._exit(1)
