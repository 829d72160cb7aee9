"""A receipt as one flat row of a table. Pure."""

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
    """Values in the order of `COLUMNS`; None if the receipt has no value."""

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
    """Return the row of a receipt's body. The digest is computed from the given bytes."""
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
