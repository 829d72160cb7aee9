"""How deep the queue is, and how old."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.kernel.measurements import Measurement
from threada_site.tenancy.jobs import depth_of_queue


def queue_measurements() -> Iterator[Measurement]:
    """Jobs waiting, jobs running, and the seconds that the oldest job which is due has waited."""
    depth = depth_of_queue()
    yield Measurement("threada_jobs_waiting", "Jobs that wait, also those for later.", depth.waiting)
    yield Measurement("threada_jobs_running", "Jobs that workers have taken.", depth.running)
    yield Measurement("threada_jobs_oldest_due_seconds", "How long the oldest due job has waited.", depth.oldest_due_s)
