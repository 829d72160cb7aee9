"""Every endpoint says which scope it needs, and every POST honours idempotency keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from threada_site.api.operations import ATTRIBUTE
from threada_site.api.views import TenantView

METHODS = ("get", "post", "put", "patch", "delete")


def tenant_views(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, type[TenantView]]]:
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from tenant_views(pattern, route)
        elif isinstance(pattern, URLPattern):
            view: Any = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
            if isinstance(view, type) and issubclass(view, TenantView):
                yield route, view


VIEWS = sorted(set(tenant_views()), key=lambda entry: entry[0])


def test_there_are_endpoints() -> None:
    assert len(VIEWS) >= 89


@pytest.mark.parametrize(("route", "view"), VIEWS, ids=[route for route, _ in VIEWS])
def test_every_method_names_its_scope_and_operation(route: str, view: type[TenantView]) -> None:
    handlers = {method: getattr(view, method) for method in METHODS if hasattr(view, method)}
    assert handlers, route
    unscoped = {method.upper() for method in handlers} - view.scopes.keys()
    assert unscoped == (set() if route != "me" else unscoped), f"{route}: name a scope for {unscoped}"
    undeclared = [method for method, handler in handlers.items() if not hasattr(handler, ATTRIBUTE)]
    assert undeclared == [], f"{route}: declare the operation of {undeclared}"
    if "post" in handlers:
        assert getattr(handlers["post"], "is_idempotent", False), f"{route}: wrap post in @idempotent"
