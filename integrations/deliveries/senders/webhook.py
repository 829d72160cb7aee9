"""Delivery to a webhook: CloudEvents in the JSON batch format, signed according to Standard Webhooks."""

from __future__ import annotations

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.response_outcomes import outcome_of_answer, outcome_of_status
from integrations.connectors.standard_webhooks import signed_headers, signing_key
from integrations.deliveries.senders.events import event_of
from integrations.deliveries.senders.http_delivery import post, with_secret
from telemetry.deliveries.batches import Batch
from telemetry.deliveries.rules import Accepted, DeliveryFailure
from threada_site.kernel import clock


def send_to_webhook(batch: Batch) -> Accepted | DeliveryFailure:
    """Make one attempt to send the batch."""
    outcome = _sent(batch)
    if outcome.failure is None:
        return Accepted()
    is_final = (outcome.response or {}).get("status") == 410
    return DeliveryFailure(outcome.failure.value, outcome.detail, outcome.retry_after_s, is_final)


def _sent(batch: Batch) -> Outcome:
    """Send the batch. The message id contains the delivery and the log indexes."""
    body = b"[" + b",".join(event_of(receipt, batch.delivery) for receipt in batch.receipts) + b"]"
    now = clock.now()
    try:
        key = with_secret(batch.delivery, signing_key)
        headers = signed_headers(body, message_id=batch.message_id, at=now, keys=[key])
        answer = post(
            batch.delivery.url,
            (
                ("Content-Type", "application/cloudevents-batch+json"),
                ("User-Agent", f"Threada/{settings.THREADA_VERSION}"),
                *headers,
            ),
            body,
        )
    except TransportFailure as failure:
        judged = None if failure.status is None else outcome_of_status(failure.status)
        if judged is not None and (judged.succeeded or not judged.ambiguous):
            return judged  # the status alone decides; the rest of the response is not needed
        return Outcome.of_failure(failure)
    judged = outcome_of_status(answer.status)
    return judged if judged.succeeded else outcome_of_answer(answer, now=now)
