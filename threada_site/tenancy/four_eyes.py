"""Four-eyes rules: actions that need two people in a tenant."""

from __future__ import annotations

import uuid
from typing import Final

from threada_site.tenancy.models import FourEyesRule

POLICY_FOUR_EYES: Final = "policy_four_eyes"
"""A policy version must be published by another person than its authors."""
FREEZE_FOUR_EYES: Final = "freeze_four_eyes"
"""A freeze must be lifted by another person than the one who set it."""
IDENTITY_FOUR_EYES: Final = "identity_four_eyes"
"""Changes to people, roles, groups and credentials of others must be confirmed by an independent steward."""
FOUR_EYES: Final = (POLICY_FOUR_EYES, FREEZE_FOUR_EYES, IDENTITY_FOUR_EYES)


def four_eyes_rule(tenant_id: uuid.UUID, slug: str) -> FourEyesRule | None:
    """Return the rule, or None if it was never set."""
    return FourEyesRule.objects.filter(tenant_id=tenant_id, slug=slug).first()


def is_four_eyes_required(tenant_id: uuid.UUID, slug: str) -> bool:
    """Return True if such actions need two people in the tenant."""
    return FourEyesRule.objects.filter(tenant_id=tenant_id, slug=slug, is_required=True).exists()
