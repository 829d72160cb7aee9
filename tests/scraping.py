"""Reading of `/metrics` in tests."""

from __future__ import annotations

from django.conf import settings

from tests.client import Api
from threada_site.api.system import clear_cached_page


def scrape() -> str:
    """Return the metrics of now, without the cache."""
    clear_cached_page()
    answer = Api(settings.THREADA_METRICS_TOKENS[0]).get("/metrics", headers={"Accept": "text/plain"})
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return str(answer.content.decode())
