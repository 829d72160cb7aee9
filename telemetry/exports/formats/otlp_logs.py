"""Sealed receipts as OpenTelemetry log records (https://opentelemetry.io/docs/specs/otlp/, logs over HTTP). Pure.

The body of a record is the receipt's body as text; its UTF-8 bytes are the hashed bytes. All other values of a record
are read from the body, except the log index (`threada.sequence`, dense). Attributes use the names of OpenTelemetry's
semantic conventions if there are any (`log.record.uid`, `user.id`, `user.roles`, `error.type`, `service.*`), and
`threada.…` otherwise. Attributes without a value are omitted.

Loads the protobuf classes of `opentelemetry-proto`. Imported only when receipts are sent to a collector.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from telemetry.exports.formats.cloudevents import TYPE_PREFIX

type Value = str | int | Sequence[str]

SCOPE: Final = "threada.receipts"
_INFO: Final = (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO")
_WARN: Final = (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN")
_ERROR: Final = (SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR")
_FAILED: Final = re.compile(r".*[._](?:failed|unknown)")
_REFUSED: Final = re.compile(r".*[._](?:refused|rejected|paused|breaker_opened|in_emergency)|.*\.expired|freeze\.set")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SUBJECT: Final = {
    "work_item_id": "threada.work_item.id",
    "execution_id": "threada.execution.id",
    "workflow_id": "threada.workflow.id",
    "channel_id": "threada.channel.id",
    "integration_id": "threada.integration.id",
    "policy_version_id": "threada.policy_version.id",
    "status": "threada.status",
}


def request_bytes(records: Iterable[LogRecord], *, tenant_id: str, tenant: str, version: str) -> bytes:
    """Return the request message for `/v1/logs` of a collector: the records of one tenant."""
    resource = {
        "service.name": "threada",
        "service.version": version,
        "threada.tenant.id": tenant_id,
        "threada.tenant.name": tenant,
    }
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=Resource(attributes=_attributes(resource)),
                scope_logs=[ScopeLogs(scope=InstrumentationScope(name=SCOPE, version=version), log_records=records)],
            )
        ]
    ).SerializeToString(deterministic=True)


def log_record(body: bytes, *, sequence: int | None, observed_at: datetime) -> LogRecord:
    """Return the record of a receipt, or of a test event, which has no `sequence`.

    `observed_at` is the time of sending; a repeated record keeps its `log.record.uid`.
    """
    receipt: dict[str, Any] = orjson.loads(body)
    severity, text = severity_of(receipt["kind"], receipt["outcome"])
    correlation_id = receipt.get("correlation_id") or ""
    return LogRecord(
        time_unix_nano=_nanoseconds(datetime.fromisoformat(receipt["occurred_at"])),
        observed_time_unix_nano=_nanoseconds(observed_at),
        severity_number=severity,
        severity_text=text,
        event_name=TYPE_PREFIX + receipt["kind"],
        body=AnyValue(string_value=body.decode()),
        trace_id=bytes.fromhex(correlation_id) if is_trace_id(correlation_id) else b"",
        attributes=_attributes(
            _receipt_attributes(receipt)
            | _log_position(receipt["id"], sequence, "sha256", hashlib.sha256(body).digest())
        ),
    )


def deleted_record(
    receipt_id: str, *, written_at: datetime, leaf_hash: bytes, sequence: int, observed_at: datetime
) -> LogRecord:
    """Return the record that replaces a receipt deleted by retention: its id and its leaf hash in the log (RFC
    6962)."""
    return LogRecord(
        time_unix_nano=_nanoseconds(written_at),
        observed_time_unix_nano=_nanoseconds(observed_at),
        severity_number=_INFO[0],
        severity_text=_INFO[1],
        event_name=f"{TYPE_PREFIX}receipt.deleted",
        attributes=_attributes(_log_position(receipt_id, sequence, "leaf_hash", leaf_hash)),
    )


def severity_of(kind: str, outcome: Mapping[str, Any]) -> tuple[SeverityNumber.ValueType, str]:
    """Return ERROR for failures and unknown outcomes, WARN for refusals, denials, expiries and stops, INFO for the
    rest."""
    if _FAILED.fullmatch(kind):
        return _ERROR
    if _REFUSED.fullmatch(kind) or (kind == "policy.decided" and outcome.get("effect") == "deny"):
        return _WARN
    return _INFO


def is_trace_id(correlation_id: str) -> bool:
    """Return True for a W3C trace id, which requests with a `traceparent` header have as correlation id."""
    return _TRACE_ID.fullmatch(correlation_id) is not None and correlation_id != "0" * 32


def _receipt_attributes(receipt: Mapping[str, Any]) -> dict[str, Value]:
    actor, outcome, subject = receipt["actor"], receipt["outcome"], receipt["subject"]
    codes: list[str] = outcome.get("reason_codes", [])
    has_failed = severity_of(receipt["kind"], outcome)[0] == SeverityNumber.SEVERITY_NUMBER_ERROR
    found: dict[str, Any] = {
        "threada.correlation_id": receipt.get("correlation_id"),
        "user.id": None if actor["kind"] == "system" else actor["principal"],
        "user.roles": actor.get("roles"),
        "threada.actor.kind": actor["kind"],
        "threada.actor.entry_point": actor["entry_point"],
        "threada.reason_codes": codes,
        "error.type": (outcome.get("failure") or next(iter(codes), None)) if has_failed else None,
        **{name: subject.get(member) for member, name in _SUBJECT.items()},
    }
    return {name: value for name, value in found.items() if value}


def _log_position(receipt_id: str, sequence: int | None, digest_name: str, digest: bytes) -> dict[str, Value]:
    place: dict[str, Value] = {} if sequence is None else {"threada.sequence": sequence}
    return {"log.record.uid": receipt_id, **place, f"threada.{digest_name}": digest.hex()}


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_any(value)) for name, value in values.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=entry) for entry in value]))


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
