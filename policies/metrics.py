"""Metric: number of policy versions in force without the confirmation of a second person."""

from __future__ import annotations

from collections.abc import Iterator

from policies.lifecycle import EmergencyStatus
from policies.models import EmergencyPublication
from threada_site.kernel.metrics import Metric


def emergency_metrics() -> Iterator[Metric]:
    """Yield the number of unconfirmed emergency publications."""
    unconfirmed = EmergencyPublication.objects.filter(status=EmergencyStatus.OPEN).count()
    yield Metric(
        "threada_policy_emergencies_unconfirmed",
        "Policy versions in force that no second person has confirmed.",
        unconfirmed,
    )
