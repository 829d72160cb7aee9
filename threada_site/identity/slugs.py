"""Validation of slugs of tenants, principals, roles and groups. Pure."""

from __future__ import annotations

from threada_site.kernel import errors, ids
from threada_site.kernel.errors import FieldError


def require_slug(text: str, *, naming: str) -> None:
    """Raise `InvalidRequest` unless `text` is a valid slug of a `tenant`, `principal`, `role` or `group`."""
    if not ids.is_slug(text):
        raise errors.InvalidRequest(
            f"{text[:63]!r} is not a valid name of a {naming}. Use a to z, 0 to 9, '-' and '_', at most 63 characters.",
            errors=[FieldError(f"/{naming}", "is not a slug")],
        )
