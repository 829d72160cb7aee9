"""Intake: create a work item with its evidence, its receipt and the job that decides about it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import IntegrityError

from policies import selectors as policy_selectors
from policies.documents import payload_schema as payloads
from threada_site.database.batched_writes import batched_writes, insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_bytes, commitment, sha256_hex
from threada_site.kernel.json.strict import crowded
from threada_site.tenancy.models import Membership, User
from threada_site.tenancy.quotas.require import require_open_item_quota
from workitems.attachments.payload_files import complete_files, use_files
from workitems.items.batch_locks import lock_single
from workitems.items.evidence import NO_EVIDENCE, EvidencePart, normalize_evidence
from workitems.items.labels import new_labels
from workitems.items.lookalikes import new_lookalike_labels
from workitems.items.receipts import payload_inputs, record_item
from workitems.items.subjects import subject_in
from workitems.items.titles import derive_from_payload
from workitems.lifecycle import WorkItemStatus
from workitems.models import Evidence, WorkItem

DECIDE_INTAKE = "workitems.decide_intake"
_REF_ONCE: Final = "workitem_external_ref_once"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRequest:
    """Request to create a work item. Its shape is valid; references are not checked yet."""

    workflow: str
    channel: str | None
    payload: Any
    requester: str | None = None
    confidence: float = 1.0
    risk_flags: tuple[str, ...] = ()
    evidence: Any = field(default=None)
    external_ref: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadWorkflow:
    """Row about a workflow and a channel that was read in the transaction."""

    workflow: str
    channel: str | None
    row: policy_selectors.WorkflowRow

    def row_about(self, request: IntakeRequest) -> policy_selectors.WorkflowRow | None:
        """Return the row if it is about the workflow and the channel of `request`."""
        return self.row if (self.workflow, self.channel) == (request.workflow, request.channel) else None


def create_work_item(request: IntakeRequest, *, ctx: ActingContext, read: ReadWorkflow | None = None) -> WorkItem:
    """Create a work item with status `new`. One statement writes item, evidence, receipt, queue row and job.

    Raises `UnknownWorkflow`, `UnknownChannel`, `ChannelRequired`, `PermissionDenied`, `PayloadTooLarge`,
    `PayloadSchemaViolation`, `AttachmentNotUsable`, `UnknownRequester`, `QuotaExceeded`, `ExternalRefTaken`.
    """
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    workflow = policy_selectors.workflow_in_force(
        request.workflow, channel=request.channel, ctx=ctx, row=read.row_about(request) if read else None
    )
    if workflow is None:
        raise errors.UnknownWorkflow(
            f"There is no workflow {request.workflow!r} here. GET /workflows lists those there are.",
            errors=[FieldError("/workflow_id", "names no workflow", "unknown")],
        )
    if not ctx.allows(Scope.WORKITEMS_WRITE, workflow=workflow.workflow_id):
        raise errors.PermissionDenied(f"You do not hold workitems:write on the workflow {request.workflow}.")
    require_open_item_quota(ctx=ctx)
    _check_channel(request, workflow)
    payload, files = complete_files(request.payload, workflow.document.payload_schema, ctx=ctx)
    payload_bytes = checked_payload(payload, workflow.document)
    named = {"workflow_id": request.workflow, "external_ref": request.external_ref, "payload": payload}
    lock_single(named, workflow.document, ctx=ctx)
    subject_id = subject_in(payload, workflow.document)
    parts = normalize_evidence(request.evidence)
    item = WorkItem(
        tenant_id=ctx.tenant_id,
        workflow_version_id=workflow.version_id,
        workflow=request.workflow,
        channel=request.channel or "",
        status=WorkItemStatus.NEW,
        payload=payload,
        external_ref=request.external_ref,
        has_unique_ref=workflow.document.unique_external_ref and bool(request.external_ref),
        metadata=dict(request.metadata),
        payload_sha256=sha256_hex(payload_bytes),
        payload_salt=secrets.token_bytes(16),
        confidence=request.confidence,
        risk_flags=list(request.risk_flags),
        data_class=workflow.document.data_class,
        subject_id=subject_id,
        requester_id=_requester_id(request.requester, workflow_id=workflow.workflow_id, ctx=ctx),
        submitted_by_id=ctx.principal_id,
        correlation_id=ctx.correlation_id,
    )
    derive_from_payload(item, workflow.document, name=workflow.name)
    item.created_at = item.updated_at = ids.instant_of(item.id)
    with _external_ref_once(item), batched_writes():
        insert_rows(item, *new_evidence(item, parts), *new_labels(item), *new_lookalike_labels(item, workflow.document))
        record_item(
            "work_item.created",
            item,
            ctx=ctx,
            inputs={**payload_inputs(item), "requester": ids.public_id(ids.PRINCIPAL, item.requester_id)},
            evidence=evidence_block(item, parts),
            outcome={"status": item.status},
        )
        enqueue_intake_decision(item)
    use_files(files, item)
    return item


@contextmanager
def _external_ref_once(item: WorkItem) -> Iterator[None]:
    """Raise `ExternalRefTaken` if the insertion of `item` violates the constraint on external references.

    The constraint decides, so that it holds for simultaneous requests, and for items that the caller does not see.
    """
    try:
        yield
    except IntegrityError as error:
        if not item.has_unique_ref or _REF_ONCE not in str(error):
            raise
        raise errors.ExternalRefTaken(
            f"The workflow {item.workflow} has a work item with this external_ref.",
            errors=[FieldError("/external_ref", "is taken in this workflow", "taken")],
        ) from error


def enqueue_intake_decision(item: WorkItem) -> None:
    """Enqueue the job that takes the intake decision about `item`."""
    enqueue(DECIDE_INTAKE, tenant_id=item.tenant_id, work_item_id=str(item.id), correlation_id=item.correlation_id)


def checked_payload(payload: Any, document: policy_selectors.WorkflowDocument) -> bytes:
    """Return the canonical bytes of a payload. Raise an error if its workflow rejects it."""
    _check_members(payload, document)
    payload_bytes = canonical_bytes(payload)
    if len(payload_bytes) > document.max_payload_bytes:
        raise errors.PayloadTooLarge(
            f"The payload has {len(payload_bytes)} bytes; this workflow allows {document.max_payload_bytes}."
        )
    problems = payloads.validate(document.payload_schema, payload, assert_format=document.assert_format)
    if problems:
        raise errors.PayloadSchemaViolation(
            "The payload does not match the schema of its workflow. Fix the fields listed in errors.", errors=problems
        )
    return payload_bytes


def _check_members(payload: Any, document: policy_selectors.WorkflowDocument) -> None:
    most = document.max_members
    place = crowded(payload, most=most) if most is not None else None
    if place is not None:
        detail = f"has more than {most} members; max_members of the workflow allows more"
        problem = FieldError(f"/payload{place}", detail, "too_large")
        raise errors.PayloadSchemaViolation("An object of the payload is too large.", errors=[problem])


def new_evidence(item: WorkItem, parts: tuple[EvidencePart, ...]) -> list[Evidence]:
    """Return the evidence of `item`, not yet saved."""
    return [
        Evidence(
            tenant_id=item.tenant_id, work_item_id=item.id, position=position, kind=part.kind, content=part.content
        )
        for position, part in enumerate(parts)
    ]


def evidence_block(item: WorkItem, parts: tuple[EvidencePart, ...]) -> dict[str, Any]:
    """Return the evidence block of a receipt: kinds, a salted commitment, and the standard fallback reason if used."""
    fallbacks = [part.content["reason"] for part in parts if part.kind == "fallback"]
    return {
        "kinds": [part.kind for part in parts],
        "commitment": commitment(bytes(item.payload_salt), [part.as_json() for part in parts]),
        **({"fallback_reason": NO_EVIDENCE} if NO_EVIDENCE in fallbacks else {}),
    }


def _check_channel(request: IntakeRequest, workflow: policy_selectors.WorkflowInForce) -> None:
    if request.channel is None:
        if workflow.document.channel_required:
            raise errors.ChannelRequired(
                f"The workflow {request.workflow} requires a channel.",
                errors=[FieldError("/channel_id", "is required", "required")],
            )
    elif not workflow.channel_exists:
        raise errors.UnknownChannel(
            f"There is no channel {request.channel!r} here. GET /channels lists those there are.",
            errors=[FieldError("/channel_id", "names no channel", "unknown")],
        )


def _requester_id(named: str | None, *, workflow_id: uuid.UUID, ctx: ActingContext) -> uuid.UUID:
    """Return the id of the requester: the submitter, or the named principal with `workitems:on_behalf`."""
    if named is None or named in (ctx.principal_name, ctx.actor):
        return ctx.principal_id
    if not ctx.allows(Scope.WORKITEMS_ON_BEHALF, workflow=workflow_id):
        raise errors.PermissionDenied("Naming another requester needs workitems:on_behalf.")
    parsed = ids.parse_public_id(ids.PRINCIPAL, named)
    lookup = {"id": parsed} if parsed else {"username": named}
    members = Membership.objects.filter(tenant_id=ctx.tenant_id, accepted_at__isnull=False)
    found = User.objects.filter(**lookup, id__in=members.values("user_id")).first()
    if found is None:
        raise errors.UnknownRequester(
            "The requester is not a member of this tenant. Whoever is only invited is none before accepting.",
            errors=[FieldError("/requester", "names no principal", "unknown")],
        )
    return found.id
