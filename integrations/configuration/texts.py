"""Versions of integrations as document text: as they were written, or generated."""

from __future__ import annotations

from typing import Any

from integrations.models import Integration, IntegrationVersion
from threada_site.kernel.documents.writer import write_document
from threada_site.tenancy.versioned_documents import written_text


def integration_text(integration: Integration) -> str:
    """Return the current version of an integration as a document."""
    assert integration.current_version is not None  # noqa: S101 - selectors leave out integrations without one
    return integration_version_text(integration.current_version, integration)


def integration_version_text(version: IntegrationVersion, integration: Integration) -> str:
    """Return a version of an integration as a document. The label in the text of an earlier version may differ."""
    head = {"kind": "Integration", "id": integration.slug}
    label = {"name": integration.name} if integration.name else {}
    document = {**head, **label, "spec": version.spec}

    def labelled(value: Any) -> Any:
        if version.id == integration.current_version_id or not isinstance(value, dict):
            return value
        return {**{key: entry for key, entry in value.items() if key != "name"}, **label}

    text = written_text(
        "Integration",
        integration.slug,
        document,
        tenant_id=version.tenant_id,
        spec_sha256=version.spec_sha256,
        normalized=labelled,
    )
    return text or write_document(document)
