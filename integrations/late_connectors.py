"""Connectors of applications above, which are imported when a connector is first asked for. Imports no Django.

So processes that call nobody do not load the code that calls.
"""

from __future__ import annotations

from typing import Final

PATHS: Final[list[str]] = []
"""Classes of connectors, by their dotted paths. Applications add them when they start."""
