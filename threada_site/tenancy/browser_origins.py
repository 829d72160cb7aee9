"""Browser origins: addresses of web pages that may call the API of a tenant from a browser (CORS)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Final

from django.db import Error

from threada_site.tenancy.models import Tenant

MOST_ORIGINS: Final = 20
KEPT_S: Final = 10.0
"""Seconds after which processes read changes of the lists."""
_ORIGIN: Final = re.compile(r"https://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_OWN_MACHINE: Final = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")


def is_browser_origin(text: str) -> bool:
    """Return True if a browser can send `text` as the origin of a page served over HTTPS, or by its own machine."""
    return bool(_ORIGIN.fullmatch(text) or _OWN_MACHINE.fullmatch(text))


class _Listed:
    """Tenants by origin, read at most every ten seconds, so that anonymous requests cost no statement each."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._read_at = float("-inf")
        self._tenants: Mapping[str, frozenset[uuid.UUID]] = {}

    def tenants(self) -> Mapping[str, frozenset[uuid.UUID]]:
        with self._lock:
            if monotonic() - self._read_at > KEPT_S:
                self._tenants = _tenants_by_origin()
                self._read_at = monotonic()
            return self._tenants

    def forget(self) -> None:
        self._read_at = float("-inf")


_listed = _Listed()
forget_origins: Final = _listed.forget


def is_listed(origin: str, *, tenant_id: uuid.UUID | None = None) -> bool:
    """Return True if the tenant lists the origin; without a tenant, if any active tenant does."""
    tenants = _listed.tenants().get(origin, frozenset())
    return bool(tenants) if tenant_id is None else tenant_id in tenants


def browser_origins(tenant_id: uuid.UUID) -> list[str]:
    """Return the origins that a tenant lists, in order."""
    return list(Tenant.objects.values_list("browser_origins", flat=True).get(id=tenant_id))


def _tenants_by_origin() -> dict[str, frozenset[uuid.UUID]]:
    found: dict[str, set[uuid.UUID]] = {}
    try:
        rows = list(
            Tenant.objects.filter(is_active=True).exclude(browser_origins=[]).values_list("id", "browser_origins")
        )
    except Error:  # without a database no page of another origin may call
        rows = []
    for tenant_id, origins in rows:
        for origin in origins:
            found.setdefault(origin, set()).add(tenant_id)
    return {origin: frozenset(tenants) for origin, tenants in found.items()}
