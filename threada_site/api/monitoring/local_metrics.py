"""Metrics of this machine: version, free disk, requests, and database connections of its web processes."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from psycopg_pool import PoolTimeout

from threada_site.api.monitoring.http_metrics import BOUNDS, COUNTS
from threada_site.kernel.metrics import Metric as OwnMetric
from threada_site.postgres import EmbeddedPostgresError
from threada_site.tenancy.instance_membership import clock_skew

log = structlog.get_logger("threada.metrics")


def local_metrics() -> Iterator[Metric]:
    """Yield the metrics that differ between the machines of an instance."""
    build = GaugeMetricFamily("threada_build_info", "1, with the version as labels.", labels=["version", "python"])
    build.add_metric([settings.THREADA_VERSION, platform.python_version()], 1)
    yield build
    yield from _disk_metrics()
    yield from _request_metrics()
    yield from _pool_metrics()


def database_metrics(metrics: Callable[[], Iterable[OwnMetric]]) -> Iterator[Metric]:
    """Yield `metrics` and the difference of the clocks, after `threada_database_up`. Only that if it does not answer.

    So the metrics of the machine stay readable.
    """
    up = GaugeMetricFamily("threada_database_up", "1 if the database answers this web process, else 0.")
    families: dict[str, GaugeMetricFamily] = {}
    try:
        skew = OwnMetric(
            "threada_clock_skew_seconds",
            "Seconds by which this machine's clock is ahead of the database's.",
            clock_skew(),
        )
        for metric in (*metrics(), skew):
            names, values = [name for name, _ in metric.labels], [value for _, value in metric.labels]
            family = families.setdefault(metric.name, GaugeMetricFamily(metric.name, metric.description, labels=names))
            family.add_metric(values, metric.value)
        up.add_metric([], 1)
    except (DatabaseError, PoolTimeout, EmbeddedPostgresError) as error:
        log.warning("metrics_unavailable", detail=str(error).strip().partition("\n")[0])
        up.add_metric([], 0)
    yield up
    yield from families.values()


def disk_places() -> dict[str, Path]:
    """Return the folders that files are written to, by the names of their settings; one for each file system."""
    folders = {
        "data": settings.THREADA_DATA_DIR,
        "exports": settings.THREADA_EXPORT_DIR,
        "deliveries": settings.THREADA_DELIVERY_DIR,
    }
    found: dict[int, tuple[str, Path]] = {}
    for name, folder in folders.items():
        place = Path(folder)
        while not place.exists() and place != place.parent:
            place = place.parent
        found.setdefault(place.stat().st_dev, (name, place))
    return dict(found.values())


def _disk_metrics() -> Iterator[Metric]:
    free = GaugeMetricFamily("threada_disk_free_bytes", "Free bytes of a folder's file system.", labels=["folder"])
    size = GaugeMetricFamily("threada_disk_size_bytes", "Size of a folder's file system.", labels=["folder"])
    for name, place in disk_places().items():
        usage = shutil.disk_usage(place)
        free.add_metric([name], usage.free)
        size.add_metric([name], usage.total)
    yield free
    yield size


def _request_metrics() -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "threada_http_requests", "Answered requests since the web server started.", labels=["route", "method", "status"]
    )
    durations = HistogramMetricFamily(
        "threada_http_request_seconds", "Time until the head of the response.", labels=["route"]
    )
    for counts in COUNTS.routes():
        for (method, status), count in counts.requests.items():
            requests.add_metric([counts.route, method, status], count)
        names = [*map(str, BOUNDS), "+Inf"]
        durations.add_metric([counts.route], list(zip(names, accumulate(counts.buckets), strict=True)), counts.seconds)
    yield requests
    yield durations


def _pool_metrics() -> Iterator[Metric]:
    state = COUNTS.pool()
    pool = GaugeMetricFamily(
        "threada_database_pool_connections", "Connections of this machine's web processes.", labels=["state"]
    )
    pool.add_metric(["idle"], state["pool_available"])
    pool.add_metric(["used"], state["pool_size"] - state["pool_available"])
    yield pool
    yield GaugeMetricFamily(
        "threada_database_pool_waiting", "Requests that wait for a connection.", value=state["requests_waiting"]
    )
