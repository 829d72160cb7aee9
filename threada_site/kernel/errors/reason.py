"""Reason codes: stable, documented, never reused. A code is added or retired; it never changes its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """The documented error categories."""

    VALIDATION = "validation"
    AUTHORIZATION = "authorization"
    POLICY = "policy"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code. `status` is None for codes of decisions and executions, which are never an HTTP problem."""

    code: str
    category: Category
    status: int | None
    title: str
    advice: str
