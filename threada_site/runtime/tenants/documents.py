"""Check of the documents of an imported tenant that jobs and requests read."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from integrations.documents import read_integration
from integrations.models import Integration
from policies.documents.policy import parse_policy
from policies.models import Policy
from threada_site.runtime.backup.archive import BackupDamaged


def check_documents(tenant_id: uuid.UUID) -> None:
    """Raise `BackupDamaged` for an integration or policy in force that cannot be read."""
    integrations = Integration.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    for integration in integrations.select_related("current_version"):
        assert integration.current_version is not None  # noqa: S101 - filtered
        _check(f"integration {integration.slug}", read_integration, integration.current_version.spec)
    for policy in Policy.objects.filter(tenant_id=tenant_id, in_force__isnull=False).select_related("in_force"):
        assert policy.in_force is not None  # noqa: S101 - filtered
        _check(f"policy {policy.slug}", parse_policy, policy.in_force.document)


def _check(what: str, read: Callable[[Any], Any], document: Any) -> None:
    try:
        read(document)
    except Exception as error:
        raise BackupDamaged(f"The {what} of the export cannot be read: {error}") from error
