"""Selectors of trusted issuers. They run inside the unit of work of the tenant."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from threada_site.tenancy.trusted_issuer_models import TrustedIssuer


def trusted_issuers(tenant_id: uuid.UUID) -> QuerySet[TrustedIssuer]:
    """Return the trusted issuers in force, by name."""
    rows = TrustedIssuer.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    return rows.select_related("current_version").order_by("slug")


def trusted_issuer_by_slug(slug: str, *, tenant_id: uuid.UUID) -> TrustedIssuer | None:
    """Return the trusted issuer in force with this name."""
    return trusted_issuers(tenant_id).filter(slug=slug).first()
