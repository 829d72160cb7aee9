"""Keep libraries from importing optional packages that nothing here uses, which saves 9 MB in each process.

Django REST framework looks for `requests`, `markdown` and `pygments` (a test client, a browsable API), structlog for
`rich` (tracebacks in colour). Later imports of these still work. httpx has a command, which would load them as well.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _as_if_missing(*names: str) -> Iterator[None]:
    # None in sys.modules makes Python report that there is no such module.
    unloaded = [name for name in names if name not in sys.modules]
    for name in unloaded:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in unloaded:
            del sys.modules[name]


sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # the command of httpx
with _as_if_missing("markdown", "pygments", "requests", "rich"):
    import rest_framework.compat  # noqa: F401
    import structlog.tracebacks  # noqa: F401
