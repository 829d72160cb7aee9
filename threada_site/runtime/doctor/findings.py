"""Findings of `manage.py doctor`. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Result of one check. Only `failed` makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """Result of one check. `fix`: what to do; empty if nothing."""

    check: str
    state: State
    said: str
    fix: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(check, State.OK, said)


def warning(check: str, said: str, fix: str) -> Finding:
    return Finding(check, State.WARNING, said, fix)


def failed(check: str, said: str, fix: str) -> Finding:
    return Finding(check, State.FAILED, said, fix)


def skipped(check: str, said: str) -> Finding:
    return Finding(check, State.SKIPPED, said)
