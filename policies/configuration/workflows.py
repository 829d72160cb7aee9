"""Services for workflows and their versions."""

from __future__ import annotations

from policies.documents.workflow import WorkflowDocument
from policies.locks import locked_by_slug
from policies.models import Workflow, WorkflowVersion
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change, UpsertResult, next_number


def upsert_workflow(slug: str, document: WorkflowDocument, *, ctx: ActingContext) -> UpsertResult[Workflow]:
    """Create or update the workflow `slug`, for new work items; existing work items keep their version.

    A version is added only if its contents differ from the current one. Receipts: `workflow.version_added`, and
    `workflow.renamed` if only the name changed.
    """
    require_unit_of_work(ctx.tenant_id)
    workflow, _ = locked_by_slug(Workflow, slug, ctx=ctx)
    current = None
    if workflow.current_version_id is not None:
        current = WorkflowVersion.objects.get(tenant_id=ctx.tenant_id, id=workflow.current_version_id)
    spec = document.as_spec()
    spec_sha256 = canonical_sha256(spec)
    if current is not None and current.spec_sha256 == spec_sha256:
        workflow.current_version = current
        return _rename(workflow, document.name, ctx=ctx)
    version = WorkflowVersion.objects.create(
        tenant_id=ctx.tenant_id,
        workflow=workflow,
        number=next_number(workflow.versions),
        revision=ctx.revision,
        spec=spec,
        spec_sha256=spec_sha256,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    workflow.current_version = version
    workflow.name = document.name
    workflow.save(update_fields=["current_version", "name"])
    record(
        Entry(
            kind="workflow.version_added",
            subject=Subject(workflow=slug),
            inputs={"spec_sha256": spec_sha256},
            outcome={
                "workflow_version_id": version.public_id,
                "number": version.number,
                "replaces": ids.public_id(ids.WORKFLOW_VERSION, current.id) if current else None,
            },
        ),
        ctx=ctx,
    )
    return UpsertResult(workflow, Change.CREATED if current is None else Change.CHANGED)


def _rename(workflow: Workflow, name: str, *, ctx: ActingContext) -> UpsertResult[Workflow]:
    if workflow.name == name:
        return UpsertResult(workflow, Change.UNCHANGED)
    workflow.name = name
    workflow.save(update_fields=["name"])
    record(Entry(kind="workflow.renamed", subject=Subject(workflow=workflow.slug), outcome={"name": name}), ctx=ctx)
    return UpsertResult(workflow, Change.CHANGED)
