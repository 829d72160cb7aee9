"""Audiences that tokens for a tenant may have."""

from __future__ import annotations

from django.conf import settings


def default_audience(tenant_slug: str) -> str:
    """Return the audience of tokens for a tenant; empty without THREADA_PUBLIC_URL."""
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return f"{base}/{tenant_slug}" if base else ""


def is_audience_of(tenant_slug: str, audience: str) -> bool:
    """Return True for the tenant's own audience, those below it, and those that the operator lists for the tenant.

    Otherwise a tenant could register another company's issuer with an audience for which that company requests tokens.
    """
    own = default_audience(tenant_slug)
    is_own = bool(own) and (audience == own or audience.startswith(f"{own}/"))
    return is_own or f"{tenant_slug}={audience}" in settings.THREADA_WORKLOAD_AUDIENCES
