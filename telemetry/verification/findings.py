"""Findings of a verification. Pure."""

from __future__ import annotations

from dataclasses import dataclass


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
