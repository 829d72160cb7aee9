"""Comparison of the projected columns of a receipt with its hashed bytes. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from threada_site.kernel import ids
from threada_site.kernel.json.canonical import sha256_hex


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt as stored: the body and its projected columns."""

    id: uuid.UUID
    body: bytes
    body_sha256: str
    kind: str
    occurred_at: datetime
    actor_id: uuid.UUID | None
    work_item_id: uuid.UUID | None
    execution_id: uuid.UUID | None
    workflow: str
    channel: str
    integration: str
    status: str
    policy_version_id: uuid.UUID | None
    reason_codes: list[str]
    correlation_id: str


def projection_mismatches(row: StoredReceipt, *, tenant_id: uuid.UUID) -> Iterator[tuple[str, str]]:
    """Yield (code, message) for every column that differs from the body, and for a body of another receipt or
    tenant."""
    digest = sha256_hex(row.body)
    if digest != row.body_sha256:
        yield "digest_differs", f"body_sha256 is {row.body_sha256}, the stored bytes hash to {digest}"
    try:
        body = orjson.loads(row.body)
        receipt = _expected_columns(body)
        named = _uuid(ids.RECEIPT, body["id"])
        tenant = _uuid(ids.TENANT, body["tenant"])
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "unreadable", "the stored bytes are not a receipt"
        return
    if named != row.id:
        yield "other_receipt", f"the stored bytes are those of receipt {body['id']}"
        return
    if tenant != tenant_id:
        yield "other_tenant", f"the stored bytes are of tenant {body['tenant']}"
    if ids.instant_of(row.id) != receipt["occurred_at"]:
        yield (
            "time_differs",
            f"its id is of {ids.instant_of(row.id).isoformat()}, the receipt says {body['occurred_at']}",
        )
    for column, value in receipt.items():
        stored = getattr(row, column)
        if stored != value:
            yield "projection_differs", f"column {column} is {_as_text(stored)}, the receipt says {_as_text(value)}"


def _expected_columns(body: dict[str, Any]) -> dict[str, Any]:
    """Return the column values that follow from the body."""
    subject, principal = body["subject"], body["actor"]["principal"]
    return {
        "kind": body["kind"],
        "occurred_at": datetime.fromisoformat(body["occurred_at"]),
        "actor_id": None if principal == "system" else _uuid(ids.PRINCIPAL, principal),
        "work_item_id": _uuid(ids.WORK_ITEM, subject.get("work_item_id")),
        "execution_id": _uuid(ids.EXECUTION, subject.get("execution_id")),
        "workflow": subject.get("workflow_id", ""),
        "channel": subject.get("channel_id", ""),
        "integration": subject.get("integration_id", ""),
        "status": subject.get("status", ""),
        "policy_version_id": _uuid(ids.POLICY_VERSION, subject.get("policy_version_id")),
        "reason_codes": body["outcome"].get("reason_codes", []),
        "correlation_id": body["correlation_id"],
    }


def _uuid(prefix: str, text: str | None) -> uuid.UUID | None:
    if text is None:
        return None
    found = ids.parse_public_id(prefix, text)
    if found is None:
        raise ValueError(f"{text!r} is not an id of {prefix}")
    return found


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "empty" if value is None or value in ("", []) else str(value)
