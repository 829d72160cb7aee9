"""Metrics of the job queue."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.jobs.enqueue import depth_left_behind, depth_of_queue
from threada_site.kernel.metrics import Metric


def queue_metrics() -> Iterator[Metric]:
    """Yield the depth of the queue and of what the other engine has left."""
    depth = depth_of_queue()
    yield Metric("threada_jobs_waiting", "Jobs that wait, including those scheduled for later.", depth.waiting)
    yield Metric("threada_jobs_running", "Jobs that workers have taken.", depth.running)
    yield Metric("threada_jobs_oldest_due_seconds", "How long the oldest due job has waited.", depth.oldest_due_s)
    left = depth_left_behind()
    yield Metric(
        "threada_jobs_left_behind",
        "Jobs in the table of the engine that is not in use; a worker takes them over.",
        left.waiting + left.running,
    )
    yield Metric(
        "threada_jobs_left_behind_oldest_due_seconds",
        "How long the oldest due job has waited in the table of the engine that is not in use.",
        left.oldest_due_s,
    )
