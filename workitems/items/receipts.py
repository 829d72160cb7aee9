"""Receipts of a case, with its columns for filtering."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from integrations.models import Execution
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.models import Membership, User
from workitems.models import DecisionStep, WorkItem


def subject_of(
    item: WorkItem,
    *,
    execution: Execution | None = None,
    policy_version_id: uuid.UUID | None = None,
    status: str | None = None,
) -> Subject:
    """Return the filter values of a receipt about this case. `status` defaults to the status of the item."""
    return Subject(
        work_item_id=item.id,
        execution_id=execution.id if execution else None,
        workflow=item.workflow,
        channel=item.channel,
        integration=execution.integration if execution else "",
        status=status or item.status,
        policy_version_id=policy_version_id or item.policy_version_id,
    )


def item_entry(kind: str, item: WorkItem, *, execution: Execution | None = None, **blocks: Any) -> Entry:
    """Return an entry about the current state of `item`.

    `simulated: true` in the outcome of a receipt about an execution means that its calls are simulated.
    """
    policy_version_id = blocks.pop("policy_version_id", None)
    if execution is not None and execution.is_simulated:
        blocks["outcome"] = {**blocks.get("outcome", {}), "simulated": True}
    return Entry(
        kind=kind,
        subject=subject_of(item, execution=execution, policy_version_id=policy_version_id),
        **blocks,
    )


def record_item(
    kind: str, item: WorkItem, *, ctx: ActingContext, execution: Execution | None = None, **blocks: Any
) -> None:
    """Write a receipt about the current state of `item`."""
    record(item_entry(kind, item, execution=execution, **blocks), ctx=ctx)


def payload_inputs(item: WorkItem) -> dict[str, Any]:
    """Return the payload block of a receipt: a salted commitment instead of values."""
    return {
        "payload_commitment": commitment(bytes(item.payload_salt), item.payload),
        "work_item_version": item.version,
        "workflow_version_id": ids.public_id(ids.WORKFLOW_VERSION, item.workflow_version_id),
    }


def with_ids(value: Any) -> Any:
    """Return a rule or a part of it for receipts, with public ids of members instead of usernames."""
    names = set(_named(value))
    if not names:
        return value
    members = User.objects.filter(username__in=names, id__in=Membership.objects.values("user_id"))
    found = {user.username: user.public_id for user in members}
    return _renamed(value, found)


def _named(value: Any) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        if key == "user" and isinstance(inner, str):
            yield inner
        else:
            yield from _named(inner)


def _renamed(value: Any, found: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(inner, found) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: found.get(inner, "unknown") if key == "user" and isinstance(inner, str) else _renamed(inner, found)
        for key, inner in value.items()
    }


def step_blocks(step: DecisionStep) -> dict[str, Any]:
    """Return the blocks `inputs` and `policy` of a receipt about a decision step."""
    return {
        "inputs": {
            "decision_step_id": step.public_id,
            "kind": step.kind,
            "envelope_sha256": step.envelope_sha256,
        },
        "policy": {
            "policy_version_ids": [ids.public_id(ids.POLICY_VERSION, value) for value in step.policy_version_ids],
            "reason_codes": list(step.reason_codes),
            "rule": with_ids(step.rule),
        },
    }
