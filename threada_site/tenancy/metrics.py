"""Metrics of the instance for `/metrics`, collected now or by a worker.

Collecting takes the platform role. If the web's login may not take it, a worker collects the metrics every ten seconds
and stores them in one row, and the web shows that row with its age.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from threada_site.database.roles import PLATFORM, may_take, platform_role
from threada_site.kernel import clock
from threada_site.kernel.metrics import Metric, MetricsCollector
from threada_site.tenancy.instance_models import StoredMetrics


def collect_metrics() -> list[Metric]:
    """Return the metrics of all collectors. Takes the platform role."""
    with platform_role():
        return [metric for collector in _collectors() for metric in collector()]


def current_metrics() -> list[Metric]:
    """Return the metrics: collected now if this login may take the platform role, otherwise stored ones with an age."""
    if _may_collect():
        return collect_metrics()
    stored = StoredMetrics.objects.first()
    if stored is None:
        return []
    age = (clock.now() - stored.collected_at).total_seconds()
    return [
        Metric("threada_figures_age_seconds", "Seconds since a worker collected these metrics.", age),
        *(Metric(name, text, value, tuple((k, v) for k, v in labels)) for name, text, value, labels in stored.metrics),
    ]


def store_metrics() -> None:
    """Collect and store the metrics if the web's login may not collect them itself."""
    if settings.THREADA_HAS_PLATFORM_LOGIN:
        metrics = [list(metric) for metric in collect_metrics()]
        StoredMetrics.objects.update_or_create(id=1, defaults={"metrics": metrics, "collected_at": clock.now()})


@cache
def _may_collect() -> bool:
    return may_take(PLATFORM)


@cache
def _collectors() -> tuple[MetricsCollector, ...]:
    return tuple(import_string(name) for name in settings.THREADA_METRICS_COLLECTORS)
