"""The registry of reason codes: stable, documented, never reused. HTTP statuses are mapped here and nowhere else.

A file for each category. `docs/reason-codes.md` is written from these tables. A code is added, or marked as retired;
it never changes its meaning.
"""

from __future__ import annotations

from typing import Final

from threada_site.kernel.reasons.authorization import AUTHORIZATION
from threada_site.kernel.reasons.execution import EXECUTION
from threada_site.kernel.reasons.policy import POLICY
from threada_site.kernel.reasons.reason import Category, Reason
from threada_site.kernel.reasons.validation import VALIDATION

__all__ = ["REASONS", "TABLES", "Category", "Reason"]

TABLES: Final = (VALIDATION, AUTHORIZATION, POLICY, EXECUTION)

REASONS: Final[dict[str, Reason]] = {reason.code: reason for table in TABLES for reason in table}
