"""Services for workflows and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from policies.documents.workflow import WorkflowDocument, without_default_bound, workflow_from_spec
from policies.documents.workflow_mistakes import version_errors
from policies.drafts.cost_check import check_payload_growth
from policies.locks import locked_by_slug
from policies.models import Workflow, WorkflowVersion
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import (
    put_version,
    says_already,
    source_argument,
    store_source,
    with_source,
)


def upsert_workflow(slug: str, document: WorkflowDocument, *, ctx: ActingContext) -> UpsertResult[Workflow]:
    """Create or update the workflow `slug`, for new work items; existing work items keep their version.

    A version is added only if its contents differ from the current one. Receipts: `workflow.version_added`, and
    `workflow.renamed` if only the name changed. Raises `RulesTooExpensive` if a rule in force would cost too much, and
    `DocumentInvalid` for probable mistakes (`version_errors`), and if the data subject of the current version is left
    out instead of ended by null.
    """
    require_unit_of_work(ctx.tenant_id)
    workflow, _ = locked_by_slug(Workflow, slug, ctx=ctx)
    spec = document.as_spec()
    if says_already(workflow, spec) or says_already(workflow, without_default_bound(spec)):
        result = _rename(workflow, document.name, ctx=ctx)
        _keep_source(workflow, ctx.source, ctx=ctx)
        return result
    mistakes = version_errors(document)
    if mistakes:
        raise errors.DocumentInvalid(
            "A new version of the workflow has probable mistakes. Correct the fields listed in errors.", errors=mistakes
        )
    current = workflow.current_version
    _require_right_to_declare(workflow, spec, ctx=ctx)
    ended_subject = _ended_subject(current, document)
    check_payload_growth(slug, before=current.spec if current else None, after=spec, ctx=ctx)
    _confirm(workflow, document.name, spec, ends_subject=document.ends_subject, ctx=ctx)
    put = put_version(workflow, spec, ctx=ctx, name=document.name)
    record(
        Entry(
            kind="workflow.version_added",
            subject=Subject(workflow=slug),
            inputs={"spec_sha256": put.version.spec_sha256},
            outcome={
                "workflow_version_id": put.version.public_id,
                **put.as_outcome(),
                **({"ended_subject": ended_subject} if ended_subject else {}),
            },
        ),
        ctx=ctx,
    )
    text = ctx.source or write_document({"kind": "Workflow", "id": slug, "spec": {"name": document.name, **spec}})
    _keep_source(workflow, text, ctx=ctx)
    return UpsertResult(workflow, put.change)


def _keep_source(workflow: Workflow, text: str, *, ctx: ActingContext) -> None:
    assert workflow.current_version is not None  # noqa: S101 - what was put has one
    store_source("Workflow", workflow.slug, workflow.current_version.spec_sha256, text, ctx=ctx)


def _ended_subject(current: WorkflowVersion | None, document: WorkflowDocument) -> str:
    """Return the pointer to the data subject whose protection this document ends, or an empty text.

    Raise `DocumentInvalid` if the document leaves out what the current version says.
    """
    before = str(current.spec.get("subject", "")) if current else ""
    if not before or document.subject:
        return ""
    if not document.ends_subject:
        detail = f"is missing. Write {before}, or null to end the encryption of contents for new work items"
        raise errors.DocumentInvalid(
            "The current version names a data subject, and this document does not.",
            errors=[FieldError("/spec/subject", detail, "required")],
        )
    return before


def _require_right_to_declare(workflow: Workflow, spec: Mapping[str, Any], *, ctx: ActingContext) -> None:
    """Raise `PermissionDenied` if a new declaration of requests would give what the acting principal does not hold.

    `request` lets everybody who may create work items of the workflow execute its action.
    """
    current = workflow.current_version
    declared = spec.get("request")
    before = current.spec.get("request") if current else None
    if declared and declared != before and not ctx.allows(Scope.ACTIONS_EXECUTE, workflow=workflow.id):
        raise errors.PermissionDenied(
            f"Declaring what a request of {workflow.slug} executes needs actions:execute on the workflow.",
            errors=[FieldError("/spec/request", "needs actions:execute", "not_allowed")],
        )


def _rename(workflow: Workflow, name: str, *, ctx: ActingContext) -> UpsertResult[Workflow]:
    if workflow.name == name:
        return UpsertResult(workflow, Change.UNCHANGED)
    assert workflow.current_version is not None  # noqa: S101 - its spec is the current one
    _confirm(workflow, name, workflow.current_version.spec, ctx=ctx)
    workflow.name = name
    workflow.save(update_fields=["name"])
    record(Entry(kind="workflow.renamed", subject=Subject(workflow=workflow.slug), outcome={"name": name}), ctx=ctx)
    return UpsertResult(workflow, Change.CHANGED)


def _confirm(
    workflow: Workflow, name: str, spec: Mapping[str, Any], *, ends_subject: bool = False, ctx: ActingContext
) -> None:
    current = workflow.current_version
    require_policy_confirmation(
        "workflow.put",
        f"Change the workflow {workflow.slug}" if current else f"Create the workflow {workflow.slug}",
        arguments={
            "workflow": workflow.slug,
            "name": name,
            "spec": spec,
            **source_argument(ctx),
            **({"ends_subject": True} if ends_subject else {}),
        },
        before={"workflow": workflow.slug, "name": workflow.name, "spec": current.spec} if current else None,
        after={"workflow": workflow.slug, "name": name, "spec": spec},
        ctx=ctx,
    )


@operation("workflow.put", scope=Scope.WORKFLOW_MANAGE)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    document = replace(
        workflow_from_spec(arguments["spec"]),
        name=arguments["name"],
        ends_subject=arguments.get("ends_subject", False),
    )
    upsert_workflow(arguments["workflow"], document, ctx=with_source(arguments, ctx))
