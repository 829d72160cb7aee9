"""Submission of a request: the work item, the declared action and the idempotency record in one unit of work."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext as _
from rest_framework.response import Response

from threada_site.api.idempotency import KeyReservation
from threada_site.api.models import IdempotencyRecord
from threada_site.api.stored_answers import opened_answer
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.executions.declared_request import execute_declared
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.models import RequestDraft
from workitems.portal.catalogue import Requestable


@dataclass(frozen=True, slots=True)
class Submitted:
    """Public id of the work item. `is_repeated`: an earlier submission of the same form created it."""

    work_item: str
    is_repeated: bool = False


def submit_request(
    workflow: Requestable,
    payload: Any,
    *,
    key: str,
    draft_id: uuid.UUID | None = None,
    ctx: ActingContext,
) -> Submitted:
    """Create a work item and execute the action that its workflow declares, as the acting person.

    `key` identifies the form: a repeated submission returns the first work item. If the intake decision asks people,
    the action starts when they have approved the work item (`start_request`). A denial by a policy keeps work item and
    decision, as in the API; every other refusal changes nothing. The draft of the form is deleted on success.

    Raise the errors of `create_work_item` and `execute_declared`, `Conflict` if the workflow has changed since
    `workflow` was read, `IdempotencyInFlight`, `IdempotencyAnswerGone`, and `IdempotencyKeyReused` if the form was sent
    with another payload.
    """
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    reservation = KeyReservation(ctx, f"/console/request/{workflow.slug}", key, canonical_sha256(payload))
    earlier = reservation.reserve_key()
    if earlier is not None:
        return Submitted(_item_in(opened_answer(earlier)), is_repeated=True)
    channel = workflow.declared.channel or None
    item = create_work_item(IntakeRequest(workflow=workflow.slug, channel=channel, payload=payload), ctx=ctx)
    if item.workflow_version_id != workflow.version_id:
        raise errors.Conflict(_("The workflow changed while you filled in the form. Check it and send it again."))
    try:
        execute_declared(item, key=key, ctx=ctx)
    except (errors.ReviewPending, errors.ApprovalPending):  # people decide about the work item first
        item.starts_when_ready = True
        item.save(update_fields=["starts_when_ready"])
    except errors.PolicyDenied as refusal:
        reservation.remember(Response({"work_item_id": item.public_id}, status=refusal.status))
        raise
    if draft_id is not None:
        own = RequestDraft.objects.filter(tenant_id=ctx.tenant_id, membership__user_id=ctx.principal_id)
        own.filter(id=draft_id).delete()
    reservation.remember(Response({"work_item_id": item.public_id}, status=201))
    return Submitted(item.public_id)


def submitted_under(workflow: str, key: str, *, ctx: ActingContext) -> str | None:
    """Return the work item that a form with this key has created, whatever its payload was; None if it is not known."""
    record = IdempotencyRecord.objects.filter(
        tenant_id=ctx.tenant_id, principal_id=ctx.principal_id, path=f"/console/request/{workflow}", key=key
    ).first()
    if record is None:
        return None
    try:
        return _item_in(opened_answer(record))
    except errors.IdempotencyAnswerGone:
        return None


def _item_in(answer: bytes) -> str:
    found: str = orjson.loads(answer)["work_item_id"]
    return found
