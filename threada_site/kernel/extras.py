"""Optional packages: the extras of `pyproject.toml`, installed only where they are needed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from threada_site.kernel.errors import OptionalPackageMissing

_PACKAGES: Final = {
    "archives": "fsspec",
    "celery": "celery",
    "mcp": "mcp",
    "otlp": "opentelemetry",
    "parquet": "pyarrow",
    "saml": "signxml",
    "storages": "storages",
}


def missing_extra(extra: str) -> str | None:
    """Return what to install before `extra` can be used, or None if it is installed. Loads nothing."""
    package = _PACKAGES[extra]
    if find_spec(package) is not None:
        return None
    return f"the package {package} is not installed. Install it with: uv sync --extra {extra}"


def require_extra(extra: str, *, use: str) -> None:
    """Raise `OptionalPackageMissing` if `extra` is not installed. `use`: what was asked for, as a noun phrase."""
    if missing := missing_extra(extra):
        raise OptionalPackageMissing(f"{use} cannot be used here: {missing}")
