"""Intake for agents: submissions are found again by their arguments, and ask for missing evidence."""

from __future__ import annotations

import hmac
from typing import Any, Final

import orjson
from django.conf import settings
from rest_framework.response import Response

from threada_site.api.idempotency import REPLAYED, KeyReservation
from threada_site.api.models import IdempotencyRecord
from threada_site.api.stored_answers import opened_answer
from threada_site.api.views import path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from workitems import selectors
from workitems.api.items import WorkItemViewSet, created_item
from workitems.api.resources.work_items import WORK_ITEM
from workitems.api.shapes import CREATE_WORK_ITEM
from workitems.items.receipts import subject_of
from workitems.mcp.views import OPEN_STATUSES
from workitems.models import WorkItem

ARGUMENTS: Final = "threada.mcp_arguments"
"""Key of the WSGI environment: the arguments of the tool, without evidence that a person added later."""
MAY_ASK: Final = "threada.mcp_may_ask"
"""Key of the WSGI environment: True if the client can ask a person for missing evidence."""
ASKS: Final = "Threada-Evidence-Missing"
"""Header of the answer of a submission that creates nothing, because evidence should be asked for first."""
_PATH: Final = "mcp:submit_work_item"
"""Path of idempotency records of submissions by their arguments."""


class SubmitWorkItem(WorkItemViewSet):
    """Intake. Without a key, equal arguments return the open work item that they created in the last 24 hours."""

    def create(self, request: Any) -> Any:
        arguments = request.META.get(ARGUMENTS, request.data)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        by_arguments = _submission(arguments, ctx=request.auth)
        by_key = _submission({"key": key, "arguments": arguments}, ctx=request.auth) if key is not None else None
        may_ask = bool(request.META.get(MAY_ASK))
        found = self._found(by_arguments, by_key, may_ask=may_ask)
        if found is not None:
            self.subject = subject_of(found)
            return Response(WORK_ITEM.represent(found), headers={REPLAYED: "true"})
        if may_ask:
            CREATE_WORK_ITEM.check(request.data)
            return Response({}, headers={ASKS: "true"})
        if by_key is None:
            response: Any = created_item(request.data, ctx=request.auth)
            _remember(by_arguments, response)
            return response
        response = super().create(request)
        if isinstance(response, Response):  # otherwise it repeats the first answer under the key
            _remember_if_free(by_arguments, response)
            _remember_if_free(by_key, response)
        return response

    @staticmethod
    def _found(by_arguments: KeyReservation, by_key: KeyReservation | None, *, may_ask: bool) -> WorkItem | None:
        """Return the work item of an earlier submission, or None.

        With a key, the operation of the API finds it, unless a person may be asked for evidence first: the answer of
        that person is no argument.
        """
        if by_key is None:
            return _item_of(by_arguments.reserve_key(), ctx=by_arguments.context, only_open=True)
        return _item_of(by_key.reserve_key(), ctx=by_key.context, only_open=False) if may_ask else None


def _submission(value: Any, *, ctx: ActingContext) -> KeyReservation:
    """Return the reservation that stands for the arguments of a submission. Its digest is keyed."""
    digest = hmac.new(settings.SECRET_KEY.encode(), canonical_sha256(value).encode(), "sha256").hexdigest()
    return KeyReservation(ctx, _PATH, digest, digest)


def _item_of(record: IdempotencyRecord | None, *, ctx: ActingContext, only_open: bool) -> WorkItem | None:
    """Return the work item of an earlier answer, if the caller may read it."""
    if record is None:
        return None
    answer = orjson.loads(opened_answer(record))
    rows = selectors.work_items(ctx).filter(id=path_id(ids.WORK_ITEM, answer["work_item_id"]))
    return (rows.filter(status__in=OPEN_STATUSES) if only_open else rows).first()


def _remember(sent: KeyReservation, response: Response) -> None:
    """Store the answer of a reserved submission in place of an earlier one."""
    IdempotencyRecord.objects.filter(
        tenant_id=sent.context.tenant_id, principal_id=sent.context.principal_id, path=sent.path, key=sent.key
    ).delete()
    sent.remember(response)


def _remember_if_free(sent: KeyReservation, response: Response) -> None:
    """Store the answer of a submission, unless one with equal arguments is in progress."""
    try:
        sent.reserve_key()
    except errors.IdempotencyInFlight:
        return
    _remember(sent, response)
