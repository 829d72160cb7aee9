"""What tells one request from another at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from threada_site.admin.fields import plainly

_PARTS: Final = 4
_TEXT: Final = 60


def gist_of(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The first plain values of a payload, short, to tell one request from another."""
    plain = ((name, value) for name, value in payload.items() if not isinstance(value, dict | list))
    return [(name, _short(plainly(value))) for name, value in list(plain)[:_PARTS]]


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
