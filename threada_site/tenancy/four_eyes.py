"""Which actions need two people in a tenant."""

from __future__ import annotations

import uuid
from typing import Final

from threada_site.tenancy.models import FourEyesRule

POLICY_FOUR_EYES: Final = "policy_four_eyes"
"""Putting a policy version in force takes another person than those who wrote it."""
FREEZE_FOUR_EYES: Final = "freeze_four_eyes"
"""Lifting a freeze takes another person than who set it."""
FOUR_EYES: Final = (POLICY_FOUR_EYES, FREEZE_FOUR_EYES)


def four_eyes_rule(tenant_id: uuid.UUID, slug: str) -> FourEyesRule | None:
    """The rule, if it was ever set."""
    return FourEyesRule.objects.filter(tenant_id=tenant_id, slug=slug).first()


def requires_four_eyes(tenant_id: uuid.UUID, slug: str) -> bool:
    """Whether such actions need two people there."""
    return FourEyesRule.objects.filter(tenant_id=tenant_id, slug=slug, is_required=True).exists()
