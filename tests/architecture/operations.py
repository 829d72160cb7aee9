"""Table of the operations of the API: method, path, operation id, scope, idempotency.

`uv run python -m tests.architecture.operations` writes it to `operations.txt`, which a test compares.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

STORED: Final = Path(__file__).with_suffix(".txt")
METHODS: Final = ("get", "post", "put", "patch", "delete")


def served_routes(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each route and the function that serves it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from served_routes(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def operations() -> list[str]:
    """Return a line for each operation of the API, in the order of paths."""
    found = [line for route, served in served_routes() for line in _lines(route, served)]
    return sorted(found, key=lambda line: (line.split()[1], METHODS.index(line.split()[0].lower())))


def _lines(route: str, served: Any) -> Iterator[str]:
    view = getattr(served, "cls", None) or getattr(served, "view_class", None)
    actions: dict[str, str] = getattr(served, "actions", None) or {method: method for method in METHODS}
    for method in METHODS:
        handler = getattr(view, actions.get(method, ""), None)
        operation = getattr(handler, "threada_operation", None)
        if operation is not None:
            scopes = getattr(served, "initkwargs", {}).get("scopes") or getattr(view, "scopes", {})
            scope = scopes.get(method.upper())
            idempotent = "idempotent" if getattr(handler, "is_idempotent", False) else "-"
            yield f"{method.upper()} /{route} {operation.operation_id} {scope.value if scope else '-'} {idempotent}"


def main() -> None:
    STORED.write_text("".join(f"{line}\n" for line in operations()))


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    django.setup()
    main()
