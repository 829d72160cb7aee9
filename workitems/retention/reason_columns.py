"""Columns with reasons of actions outside of cases. Receipts contain commitments with the row's `reason_salt`."""

from __future__ import annotations

from typing import Final

from django.db.models import Model

from integrations.models import Freeze
from policies.models import EmergencyPublication
from workitems.models import LegalHold

REASONS: Final[tuple[tuple[type[Model], str, str], ...]] = (
    (Freeze, "set_by", "reason"),
    (Freeze, "lifted_by", "lifted_reason"),
    (LegalHold, "set_by", "reason"),
    (LegalHold, "lifted_by", "lifted_reason"),
    (EmergencyPublication, "published_by", "reason"),
)
"""Model, column of the author, column of the reason."""
