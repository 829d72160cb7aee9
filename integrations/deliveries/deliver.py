"""Continuous delivery of sealed receipts: validation of targets, and sending.

At least once, in the order of the tenant's log: a batch is leased and committed, sent outside any transaction, and only
an accepted batch advances the position. If a worker dies in between, the next worker sends the same batch with the same
message id.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.deliveries.otlp_headers import DEFAULT_HEADERS, header_errors
from integrations.deliveries.senders.file import write_to_file
from integrations.deliveries.senders.otlp import send_to_collector
from integrations.deliveries.senders.webhook import send_to_webhook
from integrations.secrets.access import check_references
from integrations.secrets.references import parse_reference
from integrations.transport import EgressPolicy, OutboundRequest
from telemetry.deliveries.batches import Batch, lease_batch, settle_delivered, settle_failed, upsert_delivery
from telemetry.deliveries.rules import Accepted, DeliveryFailure
from telemetry.models import Delivery, Receipt
from telemetry.receipts.event_kinds import EVENT_KINDS
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import suggestion
from threada_site.kernel.errors import FieldError, InvalidRequest
from threada_site.kernel.extras import require_extra
from threada_site.tenancy.upsert import UpsertResult

SENDERS: Final[Mapping[str, Callable[[Batch], Accepted | DeliveryFailure]]] = MappingProxyType(
    {"webhook": send_to_webhook, "file": write_to_file, "otlp": send_to_collector}
)
BUDGET_S: Final = 20.0
"""Time limit of one job in seconds.

The remaining batches are left to the next job, so that other deliveries are served.
"""


def configure_delivery(
    slug: str,
    *,
    target: str,
    ctx: ActingContext,
    url: str = "",
    secret: Any = None,
    headers: dict[str, str] | None = None,
    kinds: Sequence[str] = (),
    workflows: Sequence[str] = (),
    from_beginning: bool = False,
) -> UpsertResult[Delivery]:
    """Create or change the delivery `slug` after validating its target.

    Raises `InvalidRequest`, `DocumentInvalid`, `SecretReferenceNotAllowed`, `SecretOriginRefused`, `Conflict`,
    `OptionalPackageMissing`.
    """
    if target == "otlp":
        require_extra("otlp", use="The target otlp")
    if target == "file" and (url or secret is not None):
        raise InvalidRequest(errors=[FieldError("/target", "a file has neither url nor secret", "invalid")])
    if target != "otlp" and headers is not None:
        raise InvalidRequest(errors=[FieldError("/headers", "are for a delivery to a collector alone", "invalid")])
    if target != "file":
        _check_url(url)
    if target == "webhook" or secret is not None:
        _check_reference(secret, url, ctx=ctx)
    if target == "otlp" and headers is None:
        headers = DEFAULT_HEADERS if secret is not None else {}
    if wrong := header_errors(headers or {}, has_secret=target == "otlp" and secret is not None):
        raise InvalidRequest(errors=wrong)
    _check_selection(kinds, workflows, ctx=ctx)
    return upsert_delivery(
        slug,
        target=target,
        url=url,
        secret=secret,
        headers=headers or {},
        kinds=kinds,
        workflows=workflows,
        from_beginning=from_beginning,
        ctx=ctx,
    )


def run_delivery(delivery_id: uuid.UUID, *, ctx: ActingContext, rng: random.Random) -> bool:
    """Send due batches. Return True if the time limit ended the job. Opens its own units of work."""
    ends = time.monotonic() + BUDGET_S
    while time.monotonic() < ends:
        with unit_of_work(ctx.tenant_id):
            batch = lease_batch(delivery_id, now=clock.now(), ctx=ctx)
        if batch is None or not _deliver(batch, ctx=ctx, rng=rng):
            return False
    return True


def _deliver(batch: Batch, *, ctx: ActingContext, rng: random.Random) -> bool:
    """Make one attempt. Return True if the next batch can be sent."""
    result = SENDERS[batch.delivery.target](batch)
    with unit_of_work(ctx.tenant_id):
        if isinstance(result, Accepted):
            return settle_delivered(batch, result, now=clock.now(), ctx=ctx)
        settle_failed(batch, result, now=clock.now(), ctx=ctx, rng=rng)
    return False


def _check_selection(kinds: Sequence[str], workflows: Sequence[str], *, ctx: ActingContext) -> None:
    """Refuse kinds that no receipt has, and workflows that the tenant never had: they would select nothing."""
    wrong = [
        FieldError(f"/kinds/{index}", f"{kind[:64]!r} is no kind of event.{suggestion(kind, known)}", "unknown_kind")
        for index, kind in enumerate(kinds)
        if kind not in EVENT_KINDS
        for known in [[name for name in EVENT_KINDS if name.partition(".")[0] == kind.partition(".")[0]] or EVENT_KINDS]
    ]
    for index, workflow in enumerate(workflows):
        if not Receipt.objects.filter(tenant_id=ctx.tenant_id, workflow=workflow).exists():
            wrong.append(FieldError(f"/workflows/{index}", f"{workflow} names no workflow", "unknown_workflow"))
    if wrong:
        raise InvalidRequest(errors=wrong)


def _check_reference(secret: Any, url: str, *, ctx: ActingContext) -> None:
    try:
        reference = parse_reference(secret)
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError("/secret", str(error), "invalid")]) from None
    check_references([reference], sent_to=url, pointer="/secret", ctx=ctx)


def _check_url(url: str) -> None:
    try:
        OutboundRequest("POST", url)
        EgressPolicy(settings.THREADA_EGRESS_ALLOW).check_url(url)
    except (TransportFailure, ValueError) as failure:
        detail = failure.detail if isinstance(failure, TransportFailure) else str(failure)
        raise InvalidRequest(errors=[FieldError("/url", detail, "blocked_address")]) from None
