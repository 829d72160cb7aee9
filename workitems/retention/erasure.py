"""Telling a person what is kept about them, and forgetting them: every digest, receipt and proof stays as it is.

A data subject (whom cases are about, as their workflow names them) is forgotten by erasing one key: whatever was sealed
under it, in tables, archives and exports of rows, are bytes that nobody reads any more. A principal (who acts here) has
a name, an address and sentences they wrote, each in one place: those are emptied, and the id stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.services import forget_account
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data import subject_keys as keyring
from threada_site.personal_data.erasable_fields import BY_SUBJECT, ErasedText
from threada_site.tenancy.models import DataSubject, User
from workitems.models import DecisionStep, Delegation, LegalHold, Vote, WorkItem
from workitems.retention.case_tables import emptied
from workitems.retention.due import ENDED, items_under_legal_hold
from workitems.retention.locks import lock_retention
from workitems.retention.reason_columns import REASONS

_FORGET_ANSWERS: Final = """
DELETE FROM api_idempotencyrecord
 WHERE tenant_id = %s AND EXISTS (SELECT FROM unnest(%s::bytea[]) AS named WHERE position(named IN response) > 0)
"""


def erase_subject(subject_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> int:
    """Erase the key of a person that cases are about; how many cases nobody reads any more. Receipt `subject.erased`.

    Done already, it is done again in full, as a restored backup needs it. Raises `PermissionDenied`, `NotFound`,
    `Conflict` (a case is still open: nobody could decide it any more), `UnderLegalHold`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx.tenant_id)
    subject = DataSubject.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=subject_id).first()
    if subject is None:
        raise errors.NotFound("There is no such person here.")
    cases = WorkItem.objects.filter(tenant_id=ctx.tenant_id, subject_id=subject.id)
    _require_ended(cases.exclude(status__in=ENDED) | cases.filter(Exists(_open_executions(ctx))), subject.public_id)
    _require_no_legal_hold(items_under_legal_hold(ctx.tenant_id).filter(subject_id=subject.id))
    case_ids = list(cases.order_by("id").values_list("id", flat=True))
    subject.lookup = subject.reference = subject.wrapped_key = None
    subject.erased_at = subject.erased_at or now
    subject.save(update_fields=["lookup", "reference", "wrapped_key", "erased_at"])
    keyring.forget(subject.id)
    # Digests without salt, and what is no content but may say something: they go with the contents.
    cases.update(payload_sha256="", external_ref="")
    DecisionStep.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=case_ids).update(payload_sha256="")
    _forget_answers([subject.public_id, *(ids.public_id(ids.WORK_ITEM, case) for case in case_ids)], ctx=ctx)
    _record("subject.erased", {"subject_id": subject.public_id}, {"cases": len(case_ids)}, ctx=ctx)
    return len(case_ids)


def erase_principal(principal: User, *, ctx: ActingContext) -> int:
    """Forget who a principal of the tenant is: name, mail, and every sentence they wrote here; how many sentences.

    Their id stays, and what they did. The account itself is forgotten with the last tenant it belongs to. Receipts
    `principal.erased` and `member.removed`. Raises `PermissionDenied`, `Conflict` (oneself), `UnderLegalHold`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if principal.id == ctx.principal_id:
        raise errors.Conflict("Nobody erases themselves. Have another administrator do it.")
    lock_retention(ctx.tenant_id)
    under_hold = items_under_legal_hold(ctx.tenant_id)
    theirs = Exists(Vote.objects.filter(step__work_item_id=OuterRef("id"), voter=principal))
    _require_no_legal_hold(
        under_hold.filter(Q(requester=principal) | Q(submitted_by=principal) | Q(ended_by=principal) | theirs)
    )
    if LegalHold.objects.filter(tenant_id=ctx.tenant_id, requester=principal, lifted_at=None).exists():
        raise errors.UnderLegalHold("A legal hold names them as requester. Lift it first.")
    sentences = _empty_sentences(principal, ctx=ctx)
    is_forgotten = forget_account(principal, ctx=ctx)
    _record(
        "principal.erased",
        {"principal": principal.public_id},
        {"sentences": sentences, "account": "erased" if is_forgotten else "kept: it belongs to another tenant"},
        ctx=ctx,
    )
    return sentences


def subject_named(reference: str) -> uuid.UUID | None:
    """The person in this tenant that requests name by `reference`, if there is one who was not erased."""
    return DataSubject.objects.filter(lookup__in=keyring.lookups_of(reference)).values_list("id", flat=True).first()


def _empty_sentences(principal: User, *, ctx: ActingContext) -> int:
    """Comments and reasons of this principal, emptied."""
    votes = Vote.objects.filter(tenant_id=ctx.tenant_id, voter=principal).exclude(comment="")
    ended = WorkItem.objects.filter(tenant_id=ctx.tenant_id, ended_by=principal).exclude(ended_reason="")
    delegations = Delegation.objects.filter(tenant_id=ctx.tenant_id).exclude(reason="")
    with platform_role():
        return (
            votes.update(comment=emptied(Vote._meta.get_field("comment"), by=BY_SUBJECT))
            + ended.update(ended_reason=emptied(WorkItem._meta.get_field("ended_reason"), by=BY_SUBJECT))
            + delegations.filter(Q(delegator=principal) | Q(created_by=principal.id)).update(reason="")
            + sum(_empty_reasons(principal, *written, ctx=ctx) for written in REASONS)
        )


def _empty_reasons(principal: User, model: type[Model], author: str, column: str, *, ctx: ActingContext) -> int:
    """What they gave as reasons of actions outside of cases, and the salt without which receipts tell nothing of it."""
    rows = model._default_manager.filter(tenant_id=ctx.tenant_id, **{author: principal.id}).exclude(**{column: ""})
    return rows.update(**{column: ErasedText(BY_SUBJECT), "reason_salt": b""})


def _forget_answers(named: Sequence[str], *, ctx: ActingContext) -> None:
    """Delete the answers that are kept for repeated requests and name any of these."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_ANSWERS, [ctx.tenant_id, [name.encode() for name in named]])


def _open_executions(ctx: ActingContext) -> QuerySet[Any]:
    return Execution.objects.filter(
        tenant_id=ctx.tenant_id, work_item_id=OuterRef("id"), status__in=OPEN_EXECUTION_STATUSES
    )


def _require_ended(open_cases: QuerySet[WorkItem], name: str) -> None:
    first = open_cases.order_by("id").first()
    if first is not None:
        raise errors.Conflict(f"{first.public_id}, which is about {name}, is still open. End it first.")


def _require_no_legal_hold(under_hold: QuerySet[WorkItem]) -> None:
    first = under_hold.order_by("id").first()
    if first is not None:
        raise errors.UnderLegalHold(f"{first.public_id} is under a legal hold. Nothing was erased.")


def _record(kind: str, inputs: dict[str, Any], outcome: dict[str, Any], *, ctx: ActingContext) -> None:
    record(Entry(kind=kind, inputs=inputs, outcome=outcome), ctx=ctx)
