"""Removal of exchanged tokens that have ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from threada_site.database.roles import platform_role
from threada_site.tenancy.models import Credential

KEPT: Final = timedelta(hours=1)
"""Time for which an ended token is answered as expired, not as unknown."""


def delete_expired_tokens(*, now: datetime) -> int:
    """Delete exchanged credentials of all tenants that ended an hour ago. Return their number."""
    with platform_role():
        rows = Credential.objects.filter(trusted_issuer_version_id__isnull=False, expires_at__lt=now - KEPT)
        return rows.delete()[0]
