"""Alert rules and the dashboard name metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from prometheus_client.parser import text_string_to_metric_families

from tests.client import Api
from tests.scraping import scrape
from threada_site.api.monitoring.http_metrics import BOUNDS, COUNTS, RequestCounts, routes

DOCS = Path(settings.THREADA_BASE_DIR) / "docs"
FORKS = """
import os
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", DATABASES={"default": {"ENGINE": "threada_site.database.backend"}})
from threada_site.api.monitoring.http_metrics import RequestCounts
urlpatterns = []
counts = RequestCounts()
counts.count("none", "GET", 200, 0.1)
for _ in range(40):  # more than there are regions
    if not os.fork():
        counts.count("none", "GET", 200, 0.1)
        os._exit(0)
    assert os.wait()[1] == 0
print([route.requests for route in counts.routes()])
"""


@pytest.fixture(autouse=True)
def routes_of_the_product() -> None:
    """Forget the routes of tests with other URLs."""
    routes.cache_clear()


@pytest.mark.django_db
def test_named_metrics_exist() -> None:
    Api().get("/healthz")
    call_command("instance", "check")  # records the instance, and so its age without a backup
    rules = [
        rule
        for group in yaml.safe_load((DOCS / "operations" / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    panels = json.loads((DOCS / "operations" / "dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) > 30
    named = {name for text in expressions for name in re.findall(r"\bthreada_\w+", text)}
    families = list(text_string_to_metric_families(scrape()))
    exposed = {sample.name for family in families for sample in family.samples} | {family.name for family in families}
    assert sorted(named - exposed) == []
    assert all((DOCS.parent / rule["annotations"]["page"]).exists() for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    used = {label for text in expressions for label in re.findall(r"(\w+)=\"", text)}
    assert used - {"job"} <= labels


@pytest.mark.django_db
def test_requests_are_counted_by_route_and_class_of_status() -> None:
    before = found()
    Api().get("/healthz")
    Api().get("/no/such/place")
    Api().get("/work-items/wi_01k9zq6w4ve9qtr1n5m2d3c4b5")
    after = found()
    counted = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
    assert counted == {
        ("/healthz", "GET", "2xx"): 1,
        ("none", "GET", "4xx"): 1,
        ("/work-items/<str:work_item_id>", "GET", "4xx"): 1,
    }


def found() -> dict[tuple[str, str, str], float]:
    return {(counts.route, *key): value for counts in COUNTS.routes() for key, value in counts.requests.items()}


def test_buckets_of_durations() -> None:
    counts = RequestCounts()
    for seconds in (0.001, BOUNDS[0], 0.3, 60.0):
        counts.count("none", "BREW", 204, seconds)
    [route] = counts.routes()
    assert route.requests == {("other", "2xx"): 4}
    assert (route.buckets[0], route.buckets[6], route.buckets[-1], sum(route.buckets)) == (2, 1, 1, 4)
    assert route.seconds == pytest.approx(60.306)


def test_processes_count_together_and_the_dead_are_replaced() -> None:
    """In a process without threads, which may fork."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=settings.THREADA_BASE_DIR, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[{('GET', '2xx'): 41.0}]\n"), done.stderr
