from __future__ import annotations

from tests.receivers.fixtures import receiver

__all__ = ["receiver"]
