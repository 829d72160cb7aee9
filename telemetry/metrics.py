"""How many receipts wait to be sealed, and how old the oldest is."""

from __future__ import annotations

from collections.abc import Iterator

from telemetry.models import SealQueueEntry
from threada_site.kernel import clock, ids
from threada_site.kernel.measurements import Measurement


def seal_measurements() -> Iterator[Measurement]:
    """Receipts not sealed yet. Their ids say when they were made."""
    oldest = SealQueueEntry.objects.order_by("id").values_list("id", flat=True).first()
    age = (clock.now() - ids.instant_of(oldest)).total_seconds() if oldest else 0.0
    waiting = SealQueueEntry.objects.count()
    yield Measurement("threada_receipts_unsealed", "Receipts that are not sealed yet.", waiting)
    yield Measurement("threada_receipts_unsealed_oldest_seconds", "How old the oldest of them is.", max(age, 0.0))
