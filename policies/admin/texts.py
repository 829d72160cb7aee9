"""Policy versions as the documents that people read and write."""

from __future__ import annotations

from policies.models import PolicyVersion
from threada_site.admin.documents import as_yaml


def document_text(version: PolicyVersion, *, slug: str = "") -> str:
    """A version as the document that `manage.py apply` takes."""
    return as_yaml({"kind": "Policy", "id": slug or version.policy.slug, "spec": version.document})
