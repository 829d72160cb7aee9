"""Selectors of trusted issuers. They run inside the unit of work of the tenant."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from threada_site.kernel import clock
from threada_site.tenancy.models import Credential
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer


def trusted_issuers(tenant_id: uuid.UUID) -> QuerySet[TrustedIssuer]:
    """Return the trusted issuers in force, by name."""
    rows = TrustedIssuer.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    return rows.select_related("current_version").order_by("slug")


def trusted_issuer_by_slug(slug: str, *, tenant_id: uuid.UUID) -> TrustedIssuer | None:
    """Return the trusted issuer in force with this name."""
    return trusted_issuers(tenant_id).filter(slug=slug).first()


def live_exchanged_tokens(tenant_id: uuid.UUID) -> QuerySet[Credential]:
    """Return the credentials that tokens of trusted issuers were exchanged for, and that have not ended."""
    rows = Credential.objects.filter(tenant_id=tenant_id, trusted_issuer_version_id__isnull=False)
    return rows.filter(expires_at__gt=clock.now(), revoked_at=None)
