"""Every endpoint says which scope it needs, and every POST honours idempotency keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from tests.architecture.test_ratchets import view_names
from threada_site.api.operations import ATTRIBUTE
from threada_site.api.views import TenantView

ROOT = settings.THREADA_BASE_DIR
METHODS = ("get", "post", "put", "patch", "delete")


def tenant_routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each route of a view or a viewset in a tenant, and what serves it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from tenant_routes(pattern, route)
        elif isinstance(pattern, URLPattern) and issubclass(view_of(pattern.callback), TenantView):
            yield route, pattern.callback


def view_of(served: Any) -> type[Any]:
    view: Any = getattr(served, "view_class", None) or getattr(served, "cls", None)
    return view if isinstance(view, type) else object


ROUTES = sorted(tenant_routes(), key=lambda entry: entry[0])


def test_there_are_endpoints() -> None:
    assert len(ROUTES) >= 89


@pytest.mark.parametrize(("route", "served"), ROUTES, ids=[route for route, _ in ROUTES])
def test_every_method_names_its_scope_and_operation(route: str, served: Any) -> None:
    view, actions = view_of(served), getattr(served, "actions", None) or {method: method for method in METHODS}
    handlers = {method: getattr(view, actions[method]) for method in METHODS if hasattr(view, actions.get(method, ""))}
    assert handlers, route
    scopes = served.initkwargs.get("scopes", {}) if hasattr(served, "actions") else view.scopes
    unscoped = {method.upper() for method in handlers} - scopes.keys()
    assert unscoped == (set() if route != "me" else unscoped), f"{route}: name a scope for {unscoped}"
    undeclared = [method for method, handler in handlers.items() if not hasattr(handler, ATTRIBUTE)]
    assert undeclared == [], f"{route}: declare the operation of {undeclared}"
    if "post" in handlers:
        assert getattr(handlers["post"], "is_idempotent", False), f"{route}: wrap post in @idempotent"


def test_views_that_are_no_viewsets_are_listed_with_a_reason() -> None:
    page = (ROOT / "docs/architecture.md").read_text().partition("| view | reason |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    listed = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(listed) == sorted(view_names())
    assert all(len(reason) > 20 for _, reason in rows)


WITHOUT_ACTOR = {
    "threada_site/api/refusals.py": "writes the receipt of a refusal",
    "telemetry/admin/list_csv.py": "writes the receipt of a download",
    "threada_site/console/account_links.py": "reads links before anybody is known",
}


def test_entry_points_read_with_the_visibility_of_their_actor() -> None:
    """Check that each unit of work of API and console names its actor: without one, it reads the whole tenant."""
    folders = ("threada_site/api", "threada_site/admin", "threada_site/console", "*/api", "*/admin", "*/*/admin")
    files = {file for folder in folders for file in ROOT.glob(f"{folder}/**/*.py")}
    found = {
        str(file.relative_to(ROOT))
        for file in files
        if file.relative_to(ROOT).parts[0] != "tests"
        and re.search(r"(?<!entered_)\bunit_of_work\((?![^()]*\bactor=)[^)]", file.read_text())
    }
    assert found == set(WITHOUT_ACTOR)
