"""A receipt as one flat row: what is read out of its body for tables. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

COLUMNS: Final = (
    "receipt_id",
    "kind",
    "occurred_at",
    "actor",
    "actor_kind",
    "work_item_id",
    "execution_id",
    "workflow_id",
    "channel_id",
    "integration_id",
    "status",
    "policy_version_id",
    "reason_codes",
    "correlation_id",
    "body_sha256",
    "body",
)


class Row(NamedTuple):
    """In the order of `COLUMNS`; None where the receipt does not say."""

    receipt_id: str
    kind: str
    occurred_at: datetime
    actor: str | None
    actor_kind: str | None
    work_item_id: str | None
    execution_id: str | None
    workflow_id: str | None
    channel_id: str | None
    integration_id: str | None
    status: str | None
    policy_version_id: str | None
    reason_codes: list[str]
    correlation_id: str | None
    body_sha256: str
    body: bytes


def row_of(body: bytes) -> Row:
    """The row of a receipt's body; the digest is computed from the bytes themselves."""
    receipt: dict[str, Any] = orjson.loads(body)
    subject, actor = receipt["subject"], receipt["actor"]
    return Row(
        receipt_id=receipt["id"],
        kind=receipt["kind"],
        occurred_at=datetime.fromisoformat(receipt["occurred_at"]),
        actor=actor.get("principal"),
        actor_kind=actor.get("kind"),
        work_item_id=subject.get("work_item_id"),
        execution_id=subject.get("execution_id"),
        workflow_id=subject.get("workflow_id"),
        channel_id=subject.get("channel_id"),
        integration_id=subject.get("integration_id"),
        status=subject.get("status"),
        policy_version_id=subject.get("policy_version_id"),
        reason_codes=receipt["outcome"].get("reason_codes", []),
        correlation_id=receipt.get("correlation_id"),
        body_sha256=hashlib.sha256(body).hexdigest(),
        body=body,
    )
