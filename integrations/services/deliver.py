"""Continuous delivery of sealed receipts: where it may go, and sending what is due.

At least once, in the order of the tenant's log: a batch is claimed and committed, sent outside any transaction, and
only what the receiver has taken moves the delivery on. Whoever dies in between leaves the same batch to the next
worker, under the same message id.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings

from integrations.answers import outcome_of_answer, outcome_of_status
from integrations.failures import FailureClass, TransportFailure
from integrations.outcomes import Outcome
from integrations.secrets import allowed, parse_reference, resolve
from integrations.services.vault import reveal
from integrations.standard_webhooks import signed_headers, signing_key
from integrations.transport import EgressPolicy, OutboundRequest, read_url, send
from telemetry.delivery_rules import Failure
from telemetry.formats.cloudevents import deleted_event_bytes, event_bytes
from telemetry.models import Delivery
from telemetry.services.deliveries import (
    Batch,
    SealedReceipt,
    claim_batch,
    put_delivery,
    settle_delivered,
    settle_failed,
)
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.kernel.errors import FieldError, InvalidRequest, SecretReferenceNotAllowed
from threada_site.tenancy.puts import Put
from threada_site.tenancy.unit_of_work import unit_of_work

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024
BUDGET_S: Final = 20.0
"""How long one job goes on; what is still due then is left to the next one, so that others get their turn."""

log = structlog.get_logger("threada.deliveries")


def configure_delivery(
    slug: str,
    *,
    target: str,
    ctx: ActingContext,
    url: str = "",
    secret: Any = None,
    from_beginning: bool = False,
) -> Put[Delivery]:
    """The delivery `slug`, when it may go there. Raises `InvalidRequest`, `SecretReferenceNotAllowed`, `Conflict`."""
    if target == "webhook":
        _check_webhook(url, secret, ctx=ctx)
    elif url or secret is not None:
        raise InvalidRequest(errors=[FieldError("/target", "a file has neither url nor secret", "invalid")])
    return put_delivery(slug, target=target, url=url, secret=secret, from_beginning=from_beginning, ctx=ctx)


def run_delivery(delivery_id: uuid.UUID, *, ctx: ActingContext, rng: random.Random) -> bool:
    """Send batch after batch until nothing is due; True when time was up before. Opens its own units of work."""
    ends = time.monotonic() + BUDGET_S
    while time.monotonic() < ends:
        with unit_of_work(ctx.tenant_id):
            batch = claim_batch(delivery_id, now=clock.now(), ctx=ctx)
        if batch is None or not _deliver(batch, ctx=ctx, rng=rng):
            return False
    return True


def file_of(delivery: Delivery) -> Path:
    """Where a delivery to a file goes; another delivery of the same name gets another file."""
    folder: Path = settings.THREADA_DELIVERY_DIR
    return folder / str(delivery.tenant_id) / f"{delivery.slug}.{delivery.public_id}.ndjson"


def _deliver(batch: Batch, *, ctx: ActingContext, rng: random.Random) -> bool:
    """One try. Whether to go on."""
    file_size = batch.delivery.file_size
    failure: Failure | None = None
    if batch.delivery.target == "file":
        try:
            file_size = _append(batch)
        except OSError as error:
            log.warning("delivery_file_failed", delivery=batch.delivery.slug, error=str(error))
            detail = f"The file cannot be written: {error.strerror or type(error).__name__}."
            failure = Failure("export_target_unavailable", detail)
    else:
        outcome = _post(batch)
        if outcome.failure is not None:
            is_final = (outcome.response or {}).get("status") == 410
            failure = Failure(outcome.failure.value, outcome.detail, outcome.retry_after_s, is_final)
    with unit_of_work(ctx.tenant_id):
        if failure is None:
            return settle_delivered(batch, now=clock.now(), ctx=ctx, file_size=file_size)
        settle_failed(batch, failure, now=clock.now(), ctx=ctx, rng=rng)
    return False


def _post(batch: Batch) -> Outcome:
    """The batch as CloudEvents in the JSON batch format, signed. The message id names the delivery and the places."""
    body = b"[" + b",".join(_event(receipt, batch.delivery) for receipt in batch.receipts) + b"]"
    message_id = f"{batch.delivery.public_id}.{batch.delivery.next_index}-{batch.end - 1}"
    now = clock.now()
    try:
        headers = signed_headers(body, message_id=message_id, at=now, keys=[_key(batch.delivery)])
        answer = send(
            OutboundRequest(
                "POST",
                batch.delivery.url,
                (
                    ("Content-Type", "application/cloudevents-batch+json"),
                    ("User-Agent", f"Threada/{settings.THREADA_VERSION}"),
                    *headers,
                ),
                body,
            ),
            egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
            timeout_s=TIMEOUT_S,
            max_body_bytes=MAX_ANSWER_BYTES,
        )
    except TransportFailure as failure:
        judged = None if failure.status is None else outcome_of_status(failure.status)
        if judged is not None and (judged.succeeded or not judged.ambiguous):
            return judged  # the status alone says enough; the rest of the answer is of no use here
        return Outcome.of_failure(failure)
    judged = outcome_of_status(answer.status)
    return judged if judged.succeeded else outcome_of_answer(answer, now=now)


def _append(batch: Batch) -> int:
    """Write the batch behind what is delivered, one event a line, and say how long the file is then.

    What a try that was never settled left behind is cut off first, so the file holds each receipt once. A file that
    is shorter than was delivered has been taken away or emptied by its reader: it goes on at its end.
    """
    data = b"".join(_event(receipt, batch.delivery) + b"\n" for receipt in batch.receipts)
    path = file_of(batch.delivery)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(path) as file:
        begin = min(os.fstat(file).st_size, batch.delivery.file_size)
        os.ftruncate(file, begin)
        left, at = memoryview(data), begin
        while left:
            written = os.pwrite(file, left, at)
            left, at = left[written:], at + written
        os.fsync(file)
    return begin + len(data)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    finally:
        os.close(file)


def _event(receipt: SealedReceipt, delivery: Delivery) -> bytes:
    sequence = str(receipt.index)
    if receipt.body is None:
        tenant = ids.public_id(ids.TENANT, delivery.tenant_id)
        return deleted_event_bytes(receipt.receipt_id, tenant=tenant, leaf_hash=receipt.leaf_hash, sequence=sequence)
    return event_bytes(receipt.body, sequence=sequence)


def _key(delivery: Delivery) -> bytes:
    reference = parse_reference(delivery.secret)
    if reference.source == "stored":
        secret = reveal(reference.name, tenant_id=delivery.tenant_id, host=read_url(delivery.url).host)
    else:
        secret = resolve(reference)
    try:
        return signing_key(secret.reveal())
    except ValueError as error:
        detail = f"The secret {reference} {error}."
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail) from None


def _check_webhook(url: str, secret: Any, *, ctx: ActingContext) -> None:
    try:
        reference = parse_reference(secret)
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError("/secret", str(error), "invalid")]) from None
    try:
        OutboundRequest("POST", url)
        EgressPolicy(settings.THREADA_EGRESS_ALLOW).check_url(url)
    except (TransportFailure, ValueError) as failure:
        detail = failure.detail if isinstance(failure, TransportFailure) else str(failure)
        raise InvalidRequest(errors=[FieldError("/url", detail, "blocked_address")]) from None
    is_operator = ctx.is_system and ctx.entry_point is EntryPoint.COMMAND
    if not is_operator and not allowed(reference, settings.THREADA_SECRET_REFS, tenant=ctx.tenant_slug):
        raise SecretReferenceNotAllowed(
            f"The secret {reference} may not be named here. The instance's operator lists references in "
            f"THREADA_SECRET_REFS, as {ctx.tenant_slug}/{reference}.",
            errors=[FieldError("/secret", f"{reference} is not listed", "not_allowed")],
        )
