"""Delivery to an OpenTelemetry collector: OTLP/HTTP, logs, protobuf, gzip (https://opentelemetry.io/docs/specs/otlp/).

Responses are handled as the specification requires:

| response | result |
|---|---|
| 2xx, empty or an `ExportLogsServiceResponse` | accepted; rejected records are counted and not sent again |
| 2xx with anything else (a proxy's page) | failed: tried again |
| 429, 502, 503, 504 | failed: tried again, after `Retry-After` |
| any other status | the delivery pauses immediately: an operator must act |
| no response | failed: tried again |
"""

from __future__ import annotations

import gzip
import re
from typing import Final

import structlog
from django.conf import settings

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.connectors.response_outcomes import outcome_of_answer, outcome_of_status
from integrations.deliveries.otlp_headers import fill_headers
from integrations.deliveries.senders.http_delivery import post, with_secret
from integrations.transport import OutboundAnswer
from telemetry.deliveries.batches import Batch
from telemetry.deliveries.rules import Accepted, DeliveryFailure
from telemetry.models import Delivery
from threada_site.kernel import clock, ids
from threada_site.kernel.extras import missing_extra

RETRYABLE: Final = frozenset({429, 502, 503, 504})
PROTOBUF: Final = "application/x-protobuf"
_MOST_SAID: Final = 200
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

log = structlog.get_logger("threada.deliveries")


def send_to_collector(batch: Batch) -> Accepted | DeliveryFailure:
    """Make one attempt to send the batch."""
    delivery = batch.delivery
    if missing := missing_extra("otlp"):
        return DeliveryFailure("optional_package_missing", f"The target otlp cannot be used here: {missing}")
    try:
        secret, headers = _secret_and_headers(delivery)
        answer = post(
            delivery.url,
            (
                ("Content-Type", PROTOBUF),
                ("Content-Encoding", "gzip"),
                ("User-Agent", f"Threada/{settings.THREADA_VERSION}"),
                *headers,
            ),
            gzip.compress(_message(batch), compresslevel=6, mtime=0),
        )
    except TransportFailure as failure:
        return _of_failure(failure)
    if 200 <= answer.status < 300:
        return _accepted(answer, batch, secret)
    judged = outcome_of_answer(answer, now=clock.now())
    said = _printable(_status_message(answer), secret)
    return DeliveryFailure(
        (judged.failure or FailureClass.BAD_RESPONSE).value,
        f"{judged.detail} It says: {said}" if said else judged.detail,
        judged.retry_after_s,
        is_final=answer.status not in RETRYABLE,
    )


def _secret_and_headers(delivery: Delivery) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the secret ("" if there is none) and the headers with it. Raises `TransportFailure`."""
    if delivery.secret is None:
        return "", fill_headers(delivery.headers, "")
    return with_secret(delivery, lambda secret: (secret, fill_headers(delivery.headers, secret)))


def _message(batch: Batch) -> bytes:
    from telemetry.exports.formats.otlp_logs import deleted_record, log_record, request_bytes

    now = clock.now()
    tenant_id = ids.public_id(ids.TENANT, batch.delivery.tenant_id)
    records = [
        log_record(receipt.body, sequence=receipt.index if receipt.index >= 0 else None, observed_at=now)
        if receipt.body is not None
        else deleted_record(
            receipt.receipt_id,
            written_at=receipt.written_at,
            leaf_hash=receipt.leaf_hash,
            sequence=receipt.index,
            observed_at=now,
        )
        for receipt in batch.receipts
    ]
    return request_bytes(
        records, tenant_id=tenant_id, tenant=batch.delivery.tenant.slug, version=settings.THREADA_VERSION
    )


def _of_failure(failure: TransportFailure) -> DeliveryFailure:
    """Return the failure without a usable body. The status decides, unless it is a success."""
    if failure.status is not None and not 200 <= failure.status < 300:
        judged = outcome_of_status(failure.status)
        word = judged.failure or FailureClass.BAD_RESPONSE
        return DeliveryFailure(word.value, judged.detail, is_final=failure.status not in RETRYABLE)
    return DeliveryFailure(failure.failure.value, failure.detail, failure.retry_after_s)


def _accepted(answer: OutboundAnswer, batch: Batch, secret: str) -> Accepted | DeliveryFailure:
    """Return the result of a 2xx response. An empty body means that all records were accepted."""
    from google.protobuf.json_format import Parse, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    said = ExportLogsServiceResponse()
    media_type = _media_type(answer, default=PROTOBUF)
    try:
        if media_type == PROTOBUF:
            said.ParseFromString(answer.body)
        elif media_type == "application/json" and answer.body.strip():
            Parse(answer.body, said, ignore_unknown_fields=True)
        elif answer.body.strip():
            raise DecodeError(media_type)
    except (DecodeError, ParseError, UnicodeDecodeError):
        detail = f"The answer is not that of an OTLP collector ({answer.status}, {media_type[:80]})."
        return DeliveryFailure(FailureClass.BAD_RESPONSE.value, detail)
    rejected = min(max(said.partial_success.rejected_log_records, 0), len(batch.receipts))
    words = _printable(said.partial_success.error_message, secret)
    if rejected or words:
        log.warning("delivery_partly_taken", delivery=batch.delivery.slug, rejected=rejected, said=words)
    return Accepted(rejected=rejected, detail=words)


def _status_message(answer: OutboundAnswer) -> str:
    """Return the message of a `google.rpc.Status`, which collectors send with failures."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    if _media_type(answer) != PROTOBUF:
        return ""
    try:
        return str(Status.FromString(answer.body).message)
    except DecodeError:
        return ""


def _media_type(answer: OutboundAnswer, *, default: str = "") -> str:
    return (answer.header("content-type") or default).partition(";")[0].strip().lower()


def _printable(text: str, secret: str) -> str:
    plain = text.replace(secret, "[redacted]") if secret else text
    return _UNPRINTABLE.sub(" ", plain)[:_MOST_SAID].strip()
