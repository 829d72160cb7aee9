from __future__ import annotations

from tests.console.conftest import console, demo

__all__ = ["console", "demo"]
