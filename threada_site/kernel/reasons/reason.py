"""What a reason code is."""

from __future__ import annotations

from collections.abc import Sequence
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
    """One reason code. `status` is None for codes that appear in decisions and executions, never as an HTTP problem."""

    code: str
    category: Category
    status: int | None
    title: str
    advice: str


def reasons_of(category: Category, rows: Sequence[tuple[str, int | None, str, str]]) -> tuple[Reason, ...]:
    """A category's reasons, from rows of code, status, title and advice."""
    return tuple(Reason(code, category, status, title, advice) for code, status, title, advice in rows)
