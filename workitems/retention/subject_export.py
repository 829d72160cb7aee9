"""Export of all data about one person, as JSON Lines."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any, Final

import orjson
from django.db.models import Q

from telemetry.models import Receipt
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data import subject_keys as keyring
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.models import Credential, DataSubject, IdentityLink, Membership, User
from workitems.models import (
    CommentVersion,
    Delegation,
    NoticeMessage,
    NotificationPreference,
    RequestDraft,
    RequesterQuestion,
    Vote,
    Watch,
    WorkItem,
)
from workitems.retention.case_tables import rows_of, tables_with_contents
from workitems.retention.reason_columns import REASONS

FORMAT: Final = "threada-person/1"
_CASES_AT_ONCE: Final = 100


def export_subject(subject_id: uuid.UUID, *, ctx: ActingContext) -> Iterator[bytes]:
    """Yield all data about a data subject: identity, rows of the cases with contents, receipts.

    Write the receipt `subject.exported` with the digest of all lines at the end. Raise `PermissionDenied`,
    `NotFound`, `ContentsRemoved` (the data subject was erased).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    subject = DataSubject.objects.filter(tenant_id=ctx.tenant_id, id=subject_id).first()
    if subject is None:
        raise errors.NotFound("There is no such person here.")
    if subject.erased_at is not None:
        raise errors.ContentsRemoved("This data subject was erased. Its data is no longer readable.")
    return _recorded(_of_subject(subject), "subject.exported", {"subject_id": subject.public_id}, ctx=ctx)


def export_principal(principal: User, *, ctx: ActingContext) -> Iterator[bytes]:
    """Yield all data about a principal: account, requests, votes, texts. Other people's texts are left out.

    Receipt `principal.exported`. Raise `PermissionDenied`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lines = _of_principal(principal, ctx.tenant_id)
    return _recorded(lines, "principal.exported", {"principal": principal.public_id}, ctx=ctx)


def _recorded(
    values: Iterator[dict[str, Any]], kind: str, inputs: dict[str, Any], *, ctx: ActingContext
) -> Iterator[bytes]:
    digest, count = hashlib.sha256(), 0
    for value in values:
        line = orjson.dumps(value, default=_plain) + b"\n"
        digest.update(line)
        count += 1
        yield line
    record(Entry(kind=kind, inputs=inputs, outcome={"lines": count, "sha256": digest.hexdigest()}), ctx=ctx)


def _of_subject(subject: DataSubject) -> Iterator[dict[str, Any]]:
    yield {
        "format": FORMAT,
        "subject_id": subject.public_id,
        "reference": keyring.reference_of(subject.id, bytes(subject.reference or b"")),
        "known_since": subject.created_at,
    }
    cases = WorkItem.objects.filter(tenant_id=subject.tenant_id, subject_id=subject.id).order_by("id")
    case_ids = list(cases.values_list("id", flat=True))
    for start in range(0, len(case_ids), _CASES_AT_ONCE):
        some = case_ids[start : start + _CASES_AT_ONCE]
        for model, path, _ in tables_with_contents():
            for row in rows_of(model, path, some, tenant_id=subject.tenant_id).order_by("id"):
                yield {"table": model._meta.model_name, "row": _columns(row)}
        receipts = Receipt.objects.filter(tenant_id=subject.tenant_id, work_item_id__in=some).order_by("id")
        for body in receipts.values_list("body", flat=True):
            yield {"table": "receipt", "row": orjson.loads(bytes(body))}


def _access_of(principal: User, tenant_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    mine: dict[str, Any] = {"tenant_id": tenant_id}
    for membership in Membership.objects.filter(**mine, user=principal):
        yield {"table": "membership", "since": membership.created_at}
    for link in AccountLink.objects.filter(**mine, user=principal).order_by("id"):
        named = {name: getattr(link, name) for name in ("purpose", "address", "created_at", "used_at")}
        yield {"table": "accountlink", "link_id": link.public_id, **named}
    for account in IdentityLink.objects.select_related("provider").filter(**mine, user=principal).order_by("id"):
        named = {name: getattr(account, name) for name in ("issuer", "subject", "last_used_at", "ended_at")}
        yield {"table": "identitylink", "link_id": account.public_id, "provider": account.provider.slug, **named}
    for credential in Credential.objects.filter(**mine, user=principal).order_by("id"):
        named = {name: getattr(credential, name) for name in ("hint", "label", "scopes", "created_at", "last_used_at")}
        yield {"table": "credential", "credential_id": credential.public_id, **named}


def _of_principal(principal: User, tenant_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    account = {
        name: getattr(principal, name)
        for name in (
            "username",
            "kind",
            "display_name",
            "email",
            "email_confirmed_at",
            "time_zone",
            "last_login",
            "created_at",
        )
    }
    yield {"format": FORMAT, "principal": principal.public_id, **account}
    mine: dict[str, Any] = {"tenant_id": tenant_id}
    yield from _access_of(principal, tenant_id)
    had_part = Q(requester=principal) | Q(submitted_by=principal) | Q(ended_by=principal) | Q(edited_by=principal)
    for item in WorkItem.objects.filter(**mine).filter(had_part).order_by("id"):
        is_theirs = item.ended_by_id == principal.id
        yield {
            "table": "workitem",
            "work_item_id": item.public_id,
            "workflow_id": item.workflow,
            "as": [
                name
                for name in ("requester", "submitted_by", "ended_by", "edited_by")
                if getattr(item, f"{name}_id") == principal.id
            ],
            **({"reason": item.ended_reason} if is_theirs else {}),
        }
    for draft in RequestDraft.objects.filter(**mine, membership__user=principal).order_by("id"):
        entered = {"entered": draft.entered, "saved_at": draft.saved_at}
        yield {"table": "requestdraft", "draft_id": draft.public_id, "workflow_id": draft.workflow, **entered}
    for vote in Vote.objects.filter(**mine, voter=principal).order_by("id"):
        yield {
            "table": "vote",
            "decision_step_id": ids.public_id(ids.DECISION_STEP, vote.step_id),
            **{name: getattr(vote, name) for name in ("decision", "reason_code", "comment", "created_at")},
        }
    yield from _conversation_of(principal, tenant_id)
    for out_of_office in Delegation.objects.filter(Q(delegator=principal) | Q(delegate=principal), **mine).order_by(
        "id"
    ):
        times = {"starts_at": out_of_office.starts_at, "ends_at": out_of_office.ends_at}
        yield {"table": "delegation", "delegation_id": out_of_office.public_id, **times, "reason": out_of_office.reason}
    for model, author, column in REASONS:
        for row in (
            model._default_manager.filter(**mine, **{author: principal.id}).exclude(**{column: ""}).order_by("id")
        ):
            yield {"table": model._meta.model_name, "id": row.pk, column: getattr(row, column)}
    for chosen in NotificationPreference.objects.filter(**mine, membership__user=principal):
        wishes = ("mail_address", "mail_events", "chat_service", "chat_events", "updated_at")
        yield {"table": "notificationpreference", **{name: getattr(chosen, name) for name in wishes}}
    for message in NoticeMessage.objects.filter(**mine, recipient=principal).select_related("notice").order_by("id"):
        fields = {"message_id": message.public_id, "event": message.notice.kind, "channel": message.channel}
        step_id = message.notice.step_id
        about = {"work_item_id": ids.public_id(ids.WORK_ITEM, message.notice.work_item_id)}
        if step_id is not None:
            about["decision_step_id"] = ids.public_id(ids.DECISION_STEP, step_id)
        sent = {**about, "status": message.status, "created_at": message.created_at}
        yield {"table": "noticemessage", **fields, **sent}


def _conversation_of(principal: User, tenant_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Yield comments, questions, answers and watches of a principal."""
    mine: dict[str, Any] = {"tenant_id": tenant_id}
    for version in CommentVersion.objects.filter(**mine, comment__author=principal).order_by("id"):
        about = {"comment_id": ids.public_id(ids.COMMENT, version.comment_id), "number": version.number}
        yield {"table": "commentversion", **about, "text": version.text, "created_at": version.created_at}
    theirs = Q(asked_by=principal) | Q(answered_by=principal)
    for question in RequesterQuestion.objects.filter(theirs, **mine).order_by("id"):
        asked = (
            {"text": question.text, "created_at": question.created_at} if question.asked_by_id == principal.id else {}
        )
        answered = question.answered_by_id == principal.id
        said = {"answer": question.answer, "ended_at": question.ended_at} if answered else {}
        yield {"table": "requesterquestion", "question_id": question.public_id, **asked, **said}
    for watch in Watch.objects.filter(**mine, principal=principal).order_by("id"):
        item_id = ids.public_id(ids.WORK_ITEM, watch.work_item_id)
        yield {"table": "watch", "work_item_id": item_id, "created_at": watch.created_at}


def _columns(row: Any) -> dict[str, Any]:
    """Return all columns of a row except the tenant and keys of files, with decrypted contents."""
    fields = [field for field in row._meta.local_concrete_fields if field.name not in ("tenant", "file_key")]
    return {field.attname: getattr(row, field.attname) for field in fields}


def _plain(value: Any) -> Any:
    """Decode JSON bytes; return other bytes as hexadecimal."""
    raw = bytes(value)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.hex()
