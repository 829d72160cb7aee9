"""Erasure of personal data. Digests, receipts and proofs remain.

A data subject is erased by destroying one key: everything that was encrypted under it, in tables, archives and
exports, becomes unreadable. A principal's name, address, comments and reasons are stored in one place each: they are
emptied, and the id remains.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.api.models import IdempotencyRecord
from threada_site.api.stored_answers import forget_answers_about
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.forgetting import forget_account
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data import subject_keys as keyring
from threada_site.personal_data.erasable_fields import BY_SUBJECT, ErasedText, contents_of, is_erased
from threada_site.tenancy.models import ChangeSet, DataSubject, User
from workitems.models import (
    Attachment,
    Comment,
    CommentVersion,
    DecisionStep,
    Delegation,
    LegalHold,
    Permit,
    ProofRun,
    RequesterQuestion,
    Vote,
    WorkItem,
)
from workitems.retention.case_tables import emptied, forget_words
from workitems.retention.due import ENDED, items_under_legal_hold
from workitems.retention.legal_holds import LIFT
from workitems.retention.locks import lock_retention
from workitems.retention.reason_columns import REASONS


def erase_subject(subject_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> int:
    """Erase the key of a data subject. Return the number of unreadable cases. Receipt `subject.erased`.

    May be repeated, which a restored backup needs. Raise `PermissionDenied`, `NotFound`, `Conflict` (a case is still
    open and could not be decided any more), `UnderLegalHold`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    subject = DataSubject.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=subject_id).first()
    if subject is None:
        raise errors.NotFound("There is no such data subject in this tenant.")
    cases = WorkItem.objects.filter(tenant_id=ctx.tenant_id, subject_id=subject.id)
    _require_ended(cases.exclude(status__in=ENDED) | cases.filter(Exists(_open_executions(ctx))), subject.public_id)
    _require_no_legal_hold(items_under_legal_hold(ctx.tenant_id).filter(subject_id=subject.id))
    return forget_subject(subject, now=now, ctx=ctx)


def forget_subject(subject: DataSubject, *, now: datetime, ctx: ActingContext) -> int:
    """Erase the key of a locked data subject whatever its cases are, as `erase_subject` does."""
    cases = WorkItem.objects.filter(tenant_id=ctx.tenant_id, subject_id=subject.id)
    case_ids = list(cases.order_by("id").values_list("id", flat=True))
    subject.lookup = subject.reference = subject.wrapped_key = None
    subject.erased_at = subject.erased_at or now
    subject.save(update_fields=["lookup", "reference", "wrapped_key", "erased_at"])
    keyring.forget(subject.id)
    # Unsalted digests and columns that may reveal contents are removed together with the contents.
    cases.update(payload_sha256="", external_ref="", related_key="")
    DecisionStep.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=case_ids).update(payload_sha256="")
    with platform_role():
        forget_words(case_ids, tenant_id=ctx.tenant_id)
    forget_answers_about(
        [subject.public_id, *(ids.public_id(ids.WORK_ITEM, case) for case in case_ids)], tenant_id=ctx.tenant_id
    )
    _record("subject.erased", {"subject_id": subject.public_id}, {"cases": len(case_ids)}, ctx=ctx)
    return len(case_ids)


def erase_principal(principal: User, *, ctx: ActingContext) -> int:
    """Erase name, address, comments and reasons of a principal, and terms of permits that name the principal.

    Return the number of emptied texts.

    Stored idempotency answers that contain such texts are deleted. The id and the actions remain. The account is erased
    with its last tenant. Receipts `principal.erased` and `member.removed`. Raise `PermissionDenied`, `Conflict`
    (oneself), `UnderLegalHold`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if principal.id == ctx.principal_id:
        raise errors.Conflict("You cannot erase yourself. Another administrator must do it.")
    lock_retention(ctx=ctx)
    under_hold = items_under_legal_hold(ctx.tenant_id)
    theirs = Exists(Vote.objects.filter(step__work_item_id=OuterRef("id"), voter=principal))
    said = Exists(Comment.objects.filter(work_item_id=OuterRef("id"), author=principal))
    by_principal = Q(asked_by=principal) | Q(answered_by=principal)
    talked = Exists(RequesterQuestion.objects.filter(by_principal, work_item_id=OuterRef("id")))
    _require_no_legal_hold(
        under_hold.filter(
            Q(requester=principal) | Q(submitted_by=principal) | Q(ended_by=principal) | theirs | said | talked
        )
    )
    if LegalHold.objects.filter(tenant_id=ctx.tenant_id, requester=principal, lifted_at=None).exists():
        raise errors.UnderLegalHold("A legal hold names this person as requester. Lift it first.")
    sentences = _empty_sentences(principal, ctx=ctx)
    asked = RequesterQuestion.objects.filter(tenant_id=ctx.tenant_id, asked_by=principal)
    named = [principal.public_id, *(question.public_id for question in asked.only("id"))]
    forget_answers_about(named, principal.username, principal.email, tenant_id=ctx.tenant_id)
    IdempotencyRecord.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal.id).delete()
    ProofRun.objects.filter(tenant_id=ctx.tenant_id, document__icontains=principal.username).delete()
    is_forgotten = forget_account(principal, ctx=ctx)
    _record(
        "principal.erased",
        {"principal": principal.public_id},
        {"sentences": sentences, "account": "erased" if is_forgotten else "kept: it belongs to another tenant"},
        ctx=ctx,
    )
    return sentences


def subject_named(reference: str) -> uuid.UUID | None:
    """Return the data subject with this reference in the tenant; None if there is none or it was erased."""
    return DataSubject.objects.filter(lookup__in=keyring.lookups_of(reference)).values_list("id", flat=True).first()


def _empty_sentences(principal: User, *, ctx: ActingContext) -> int:
    """Empty the comments and reasons of a principal. Return their number."""
    votes = Vote.objects.filter(tenant_id=ctx.tenant_id, voter=principal).exclude(comment="")
    ended = WorkItem.objects.filter(tenant_id=ctx.tenant_id, ended_by=principal).exclude(ended_reason="")
    delegations = Delegation.objects.filter(tenant_id=ctx.tenant_id).exclude(reason="")
    _empty_proposed_lifts(principal, ctx=ctx)
    with platform_role():
        return (
            _empty_conversation(principal, ctx=ctx)
            + _empty_bounds(principal, ctx=ctx)
            + votes.update(comment=emptied(Vote._meta.get_field("comment"), by=BY_SUBJECT))
            + ended.update(ended_reason=emptied(WorkItem._meta.get_field("ended_reason"), by=BY_SUBJECT))
            + delegations.filter(Q(delegator=principal) | Q(created_by=principal.id)).update(reason="")
            + sum(_empty_reasons(principal, *written, ctx=ctx) for written in REASONS)
        )


def _empty_conversation(principal: User, *, ctx: ActingContext) -> int:
    """Empty the comments, questions and answers of a principal, with their files and salts of commitments in receipts.

    Files that the principal has not used yet are deleted.
    """
    mine: dict[str, Any] = {"tenant_id": ctx.tenant_id}
    questions = RequesterQuestion.objects.filter(**mine)
    by_principal = Q(asked_by=principal) | Q(answered_by=principal)
    about = set(questions.filter(by_principal).values_list("work_item_id", flat=True))
    about.update(Comment.objects.filter(**mine, author=principal).values_list("work_item_id", flat=True))
    forget_words(sorted(about), tenant_id=ctx.tenant_id)
    written = (
        (CommentVersion.objects.filter(**mine, comment__author=principal), ("text", "text_salt")),
        (questions.filter(asked_by=principal), ("text", "text_salt")),
        (questions.filter(answered_by=principal), ("answer", "answer_salt")),
        (Attachment.objects.filter(**mine, comment__author=principal), ("name", "file_key")),
    )
    Attachment.objects.filter(**mine, work_item=None, uploaded_by=principal).delete()
    return sum(
        rows.update(**{name: emptied(rows.model._meta.get_field(name), by=BY_SUBJECT) for name in names})
        for rows, names in written
    )


def _empty_bounds(principal: User, *, ctx: ActingContext) -> int:
    """Empty the terms of permits whose bounds name a principal. Such a permit covers nothing any more.

    Return their number.
    """
    names = [re.escape(name) for name in (principal.username, principal.display_name, principal.email) if name]
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE)
    naming = [
        permit.id
        for permit in Permit.objects.filter(tenant_id=ctx.tenant_id).exclude(bounds=[])
        if not is_erased(permit.bounds) and any(map(pattern.search, permit.bounds))
    ]
    contents = contents_of(Permit)
    rows = Permit.objects.filter(tenant_id=ctx.tenant_id, id__in=naming)
    return rows.update(**{field.attname: emptied(field, by=BY_SUBJECT) for field in contents})


def _empty_proposed_lifts(principal: User, *, ctx: ActingContext) -> None:
    """Empty the reasons in change sets by which a principal proposed to lift a legal hold."""
    for row in ChangeSet.objects.filter(tenant_id=ctx.tenant_id, proposed_by=principal.id, operation=LIFT):
        row.arguments = {**row.arguments, "reason": str(ErasedText(BY_SUBJECT))}
        row.save(update_fields=["arguments"])


def _empty_reasons(principal: User, model: type[Model], author: str, column: str, *, ctx: ActingContext) -> int:
    """Empty reasons outside of cases, with the salts of their commitments in receipts. Return their number."""
    rows = model._default_manager.filter(tenant_id=ctx.tenant_id, **{author: principal.id}).exclude(**{column: ""})
    return rows.update(**{column: ErasedText(BY_SUBJECT), "reason_salt": b""})


def _open_executions(ctx: ActingContext) -> QuerySet[Any]:
    """Return executions that are open or whose undo is still to come, which needs the contents."""
    return Execution.objects.filter(
        Q(status__in=OPEN_EXECUTION_STATUSES) | Q(undo_due_at__isnull=False),
        tenant_id=ctx.tenant_id,
        work_item_id=OuterRef("id"),
    )


def _require_ended(open_cases: QuerySet[WorkItem], name: str) -> None:
    first = open_cases.order_by("id").first()
    if first is not None:
        raise errors.Conflict(
            f"{first.public_id}, a case about {name}, is still open, or its action has to be undone. End that first."
        )


def _require_no_legal_hold(under_hold: QuerySet[WorkItem]) -> None:
    first = under_hold.order_by("id").first()
    if first is not None:
        raise errors.UnderLegalHold(f"{first.public_id} is under a legal hold. Nothing was erased.")


def _record(kind: str, inputs: dict[str, Any], outcome: dict[str, Any], *, ctx: ActingContext) -> None:
    record(Entry(kind=kind, inputs=inputs, outcome=outcome), ctx=ctx)
