"""Policy versions as document text."""

from __future__ import annotations

from policies.models import PolicyVersion
from threada_site.admin.documents import as_yaml


def document_text(version: PolicyVersion, *, slug: str = "") -> str:
    """Return a version as a document for `manage.py apply`."""
    return as_yaml({"kind": "Policy", "id": slug or version.policy.slug, "spec": version.document})
