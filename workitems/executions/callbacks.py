"""Callbacks: an execution with `completes: callback` waits until its receiver reports the outcome.

The receiver gets a callback URL with the call. The id in the URL identifies the execution and is signed by this
instance; the callback itself is signed by the receiver (Standard Webhooks). An invalid id and an invalid signature get
the same answer. A callback that contradicts the recorded outcome changes nothing; it is refused, with a receipt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import structlog
from django.core.signing import BadSignature, Signer
from structlog.contextvars import bound_contextvars

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import document_of, readable_action_of, secret_access
from integrations.connectors.standard_webhooks import is_signed, signing_key
from integrations.executions.envelope import open_envelope
from integrations.lifecycle import EXECUTION, ExecutionStatus
from integrations.models import Execution
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.settle_attempt import settle_answered
from workitems.items.receipts import record_item
from workitems.models import WorkItem

_SIGNER: Final = Signer(salt="threada.callbacks", sep=".")
LONGEST_ID: Final = 200
MOST_REFUSALS_RECORDED: Final = 3
"""Contradicting callbacks of one execution that get a receipt; a receiver could send any number of them."""

log = structlog.get_logger("threada.callbacks")


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome that the receiver reported."""

    status: Literal["succeeded", "failed"]
    detail: str = ""
    data: Any = None


@dataclass(frozen=True, slots=True)
class Named:
    """Execution identified by a callback id."""

    tenant: Tenant
    execution_id: uuid.UUID


def callback_id(tenant_id: uuid.UUID, execution_id: uuid.UUID) -> str:
    """Return the signed callback id of an execution."""
    return _SIGNER.sign(base64.urlsafe_b64encode(tenant_id.bytes + execution_id.bytes).decode().rstrip("="))


def is_callback_id(text: str) -> bool:
    """Return True if this instance has signed the callback id. The execution may not exist any more."""
    try:
        _parsed(text)
    except errors.NotFound:
        return False
    return True


def named_execution(text: str, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Named:
    """Return the execution behind a callback id, if the receiver signed `body`.

    Raises `NotFound` for an invalid id, a missing execution and an invalid signature.
    """
    tenant_id, execution_id = _parsed(text)
    tenant = Tenant.objects.filter(id=tenant_id).first()
    if tenant is None:
        raise errors.NotFound
    with unit_of_work(tenant.id):
        found = Execution.objects.filter(tenant_id=tenant.id, id=execution_id).select_related("integration_version")
        execution = found.first()
        keys = [] if execution is None else _keys(execution, tenant)
    if not keys or not is_signed(body, headers, keys=keys, now=now):
        raise errors.NotFound
    return Named(tenant, execution_id)


def take_answer(named: Named, answer: Answer, *, message_id: str) -> None:
    """Settle an execution with the outcome that its receiver reported.

    A callback that repeats the recorded outcome, or has the message id of the one before, changes nothing. Raises
    `ExecutionInProgress` if the call is not settled yet, and `CallbackContradicted`, after the receipt
    `execution.callback_refused` is committed, if another outcome is recorded.
    """
    recorded = _taken(named, answer, message_id=message_id, entry_point=EntryPoint.API)
    if recorded is not None:
        raise errors.CallbackContradicted(
            f"The callback says {answer.status}, and the execution is recorded as {recorded}."
        )


def take_simulated_answer(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Take the simulated callback that the envelope of a simulated execution contains, as `take_answer` does.

    Do nothing if the execution does not exist, is not simulated, or was settled otherwise.
    """
    with unit_of_work(tenant.id):
        found = Execution.objects.filter(tenant_id=tenant.id, id=execution_id, is_simulated=True)
        execution = found.select_related("envelope").first()
        if execution is None:
            return
        try:
            request = open_envelope(bytes(execution.envelope.body), execution.envelope.sha256)["request"]
        except TransportFailure:  # the deadline of the callback then ends the execution as unknown
            log.warning("simulated_callback_unreadable", execution=execution.public_id)
            return
    answer = Answer(
        status=request["callback"]["status"],
        detail="Simulated: the document of the integration simulates a callback that says failed.",
        data={"simulated": True, "answer": request["answer"]},
    )
    named = Named(tenant, execution_id)
    recorded = _taken(named, answer, message_id=f"simulated-{execution_id}", entry_point=EntryPoint.JOB)
    if recorded is not None:
        log.info("simulated_callback_ignored", execution=ids.public_id(ids.EXECUTION, execution_id))


def _taken(named: Named, answer: Answer, *, message_id: str, entry_point: EntryPoint) -> str | None:
    """Return None if the answer was taken or repeats what is recorded, otherwise the recorded status."""
    message = hashlib.sha256(message_id.encode()).hexdigest()
    with unit_of_work(named.tenant.id):
        where = Execution.objects.filter(tenant_id=named.tenant.id, id=named.execution_id)
        item_id = where.values_list("work_item_id", flat=True).first()
        item = selectors.work_item_for_update(item_id, tenant_id=named.tenant.id) if item_id else None
        execution = integration_selectors.execution_for_update(named.execution_id, tenant_id=named.tenant.id)
        if item is None or execution is None:
            raise errors.NotFound
        ctx = _context(named.tenant, execution, entry_point)
        with bound_contextvars(tenant=named.tenant.slug, execution=execution.public_id):
            if execution.callback_message == message and execution.callback_status == answer.status:
                log.info("callback_repeated", status=execution.status, message=message_id)
                return None
            if execution.status in EXECUTION.ends or execution.status == ExecutionStatus.OUTCOME_UNKNOWN:
                if execution.status == answer.status:
                    return None
                _refuse(item, execution, answer, message=message, ctx=ctx)
                return execution.status
            if execution.waiting_until is None:
                raise errors.ExecutionInProgress(
                    "The call that this answers is not settled yet. Send it again.", headers={"Retry-After": "1"}
                )
            execution.callback_message, execution.callback_status = message, answer.status
            execution.save(update_fields=["callback_message", "callback_status"])
            settle_answered(item, execution, readable_action_of(execution), _outcome(answer), ctx=ctx)
    return None


def _refuse(item: WorkItem, execution: Execution, answer: Answer, *, message: str, ctx: ActingContext) -> None:
    """Record a callback that contradicts the recorded outcome. Repeated ones get no receipt of their own."""
    log.warning("callback_contradicted", status=execution.status, reported=answer.status)
    if execution.callbacks_refused >= MOST_REFUSALS_RECORDED:
        return
    execution.callbacks_refused += 1
    execution.save(update_fields=["callbacks_refused"])
    record_item(
        "execution.callback_refused",
        item,
        ctx=ctx,
        execution=execution,
        inputs={"attempt": execution.attempts_made, "message_sha256": message},
        outcome={"status": execution.status, "reported": answer.status},
        reason_codes=(errors.CallbackContradicted.reason_code,),
    )


def _outcome(answer: Answer) -> Outcome:
    response = {"callback": answer.status, "body": answer.data}
    if answer.status == "succeeded":
        return Outcome(response=response)
    detail = answer.detail or "The receiver called back that it failed."
    return Outcome(failure=FailureClass.REJECTED_BY_RECEIVER, detail=detail, response=response)


def _keys(execution: Execution, tenant: Tenant) -> list[bytes]:
    """Return the current keys of the receiver, as named by the integration version in the envelope."""
    keys = []
    document = document_of(execution.integration_version)
    secrets = secret_access(execution.integration_version, tenant=tenant.slug)
    for reference in document.callback_secrets:
        try:
            keys.append(signing_key(secrets.verifying(reference).reveal()))
        except (TransportFailure, ValueError):
            log.warning("callback_key_unusable", secret=str(reference))
    return keys


def _parsed(text: str) -> tuple[uuid.UUID, uuid.UUID]:
    try:
        if len(text) > LONGEST_ID:
            raise errors.NotFound
        raw = base64.b64decode(_SIGNER.unsign(text) + "=", altchars=b"-_", validate=True)
        return uuid.UUID(bytes=raw[:16]), uuid.UUID(bytes=raw[16:])
    except (BadSignature, binascii.Error, ValueError):
        raise errors.NotFound from None


def _context(tenant: Tenant, execution: Execution, entry_point: EntryPoint) -> ActingContext:
    return system_context(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        correlation_id=execution.correlation_id or uuid.uuid4().hex,
        entry_point=entry_point,
    )
