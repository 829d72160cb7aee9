"""Policy versions, workflows and lists as document text: as they were written, or generated."""

from __future__ import annotations

from typing import Any

from policies.documents.workflow import normalized_workflow, whole_workflow
from policies.models import List, ListVersion, PolicyVersion, Workflow, WorkflowVersion
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
    version.workflow = workflow
    return workflow_version_text(version)


def workflow_version_text(version: WorkflowVersion) -> str:
    """Return a version of a workflow as a document. The label in the text of an earlier version may differ."""
    workflow = version.workflow
    document = whole_workflow(workflow.slug, workflow.name, version.spec)

    def labelled(value: Any) -> dict[str, Any]:
        found = normalized_workflow(value, stored=version.spec)
        if version.id == workflow.current_version_id:
            return found
        spec = {key: entry for key, entry in found["spec"].items() if key != "name"}
        return whole_workflow(found["id"], workflow.name, spec)

    text = written_text(
        "Workflow",
        workflow.slug,
        document,
        tenant_id=version.tenant_id,
        spec_sha256=version.spec_sha256,
        normalized=labelled,
    )
    return text or write_document(document)


def list_text(row: List) -> str:
    """Return the current version of a list as a document."""
    version = row.current_version
    assert version is not None  # noqa: S101 - selectors leave out lists without one
    version.list = row
    return list_version_text(version)


def list_version_text(version: ListVersion) -> str:
    """Return a version of a list as a document."""
    slug = version.list.slug
    document = {"kind": "List", "id": slug, "spec": {"items": version.spec}}
    sha256 = version.spec_sha256
    text = written_text("List", slug, document, tenant_id=version.tenant_id, spec_sha256=sha256)
    return text or write_document(document)
