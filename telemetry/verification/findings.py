"""Findings and numbers of a verification. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One mismatch. `code` is stable and for programs, `message` for people.

    `sequence` is the index in the tenant's log, `receipt` a public id.
    """

    tenant: str
    code: str
    message: str
    sequence: int | None = None
    receipt: str | None = None

    def __str__(self) -> str:
        named = [f"sequence {self.sequence}"] if self.sequence is not None else []
        named += [f"receipt {self.receipt}"] if self.receipt else []
        return ": ".join(part for part in (self.tenant, ", ".join(named), self.message) if part)


@dataclass(slots=True)
class VerificationStats:
    """Numbers of verified rows, signing keys, and notes for the reader.

    `written_by`: number of receipts by the role whose signature verifies, `unsigned`, and `unknown key`.
    """

    sealed: int = 0
    waiting: int = 0
    checkpoints: int = 0
    signed_by: list[str] = field(default_factory=list)
    written_by: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
