"""Locks of roles and groups by name. One of them need not exist, and the row of a role does not contain its scopes."""

from __future__ import annotations

from typing import Final

from django.db import connection

from threada_site.kernel.context import ActingContext

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


def lock_role(slug: str, *, ctx: ActingContext) -> None:
    """Let no other transaction define or remove the role until this one ends."""
    _lock(f"role {ctx.tenant_id} {slug}")


def lock_group(slug: str, *, ctx: ActingContext) -> None:
    """Let no other transaction define or remove the group until this one ends."""
    _lock(f"group {ctx.tenant_id} {slug}")


def _lock(key: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [key])
