"""How many policy versions are in force on one person's word alone."""

from __future__ import annotations

from collections.abc import Iterator

from policies.models import EmergencyPublication
from policies.publication import EmergencyStatus
from threada_site.kernel.measurements import Measurement


def emergency_measurements() -> Iterator[Measurement]:
    """Emergency publications that no second person has confirmed."""
    unconfirmed = EmergencyPublication.objects.filter(status=EmergencyStatus.OPEN).count()
    yield Measurement(
        "threada_policy_emergencies_unconfirmed",
        "Policy versions in force that no second person has confirmed.",
        unconfirmed,
    )
