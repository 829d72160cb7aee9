"""Policy versions, workflows and lists as document text: as they were written, or generated."""

from __future__ import annotations

from policies.documents.workflow import normalized_workflow, whole_workflow
from policies.models import List, PolicyVersion, Workflow
from threada_site.kernel.documents.writer import write_document
from threada_site.tenancy.versioned_documents import written_text


def document_text(version: PolicyVersion, *, slug: str = "") -> str:
    """Return a version as a document for `manage.py apply`."""
    name = slug or version.policy.slug
    document = {"kind": "Policy", "id": name, "spec": version.document}
    text = written_text("Policy", name, document, tenant_id=version.tenant_id, spec_sha256=version.document_sha256)
    return text or write_document(document)


def workflow_text(workflow: Workflow) -> str:
    """Return the current version of a workflow as a document."""
    version = workflow.current_version
    assert version is not None  # noqa: S101 - selectors leave out workflows without one
    document = whole_workflow(workflow.slug, workflow.name, version.spec)
    text = written_text(
        "Workflow",
        workflow.slug,
        document,
        tenant_id=workflow.tenant_id,
        spec_sha256=version.spec_sha256,
        normalized=normalized_workflow,
    )
    return text or write_document(document)


def list_text(row: List) -> str:
    """Return the current version of a list as a document."""
    version = row.current_version
    assert version is not None  # noqa: S101 - selectors leave out lists without one
    document = {"kind": "List", "id": row.slug, "spec": {"items": version.spec}}
    sha256 = version.spec_sha256
    return written_text("List", row.slug, document, tenant_id=row.tenant_id, spec_sha256=sha256) or write_document(
        document
    )
