"""Recording of receipts, in the transaction of the change that they record."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Final

from telemetry.models import AccountEvent, Receipt, ReceiptReason, SealQueueEntry
from telemetry.receipts.format import Entry, body_bytes
from telemetry.receipts.signature import ROLE_OF
from telemetry.receipts.signing import SignReceipts
from threada_site.database.batched_writes import batched_writes, insert_rows
from threada_site.database.unit_of_work import receipt_written, require_unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import commitment, new_salt, sha256_hex
from threada_site.kernel.source import Source

ACCOUNT_KINDS: Final = (
    "account.",
    "credential.",
    "delegation.",
    "identity.link",
    "invitation.",
    "member.",
    "password_reset.",
    "principal.",
    "recovery_code",
    "role.granted",
    "role.withdrawn",
    "scope.granted",
    "scope.withdrawn",
    "second_factor.",
    "session.",
)
"""Beginnings of the kinds of receipts about accounts of principals."""


def _receipt_rows(entry: Entry, *, ctx: ActingContext) -> list[Receipt | SealQueueEntry | AccountEvent | ReceiptReason]:
    """Return the unsaved rows of a receipt, for services that insert all rows in one statement."""
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    receipt_written()
    receipt_id = ids.new_uuid()
    occurred_at = ids.instant_of(receipt_id)
    reasons: list[ReceiptReason] = []
    if ctx.reason:
        reasons.append(ReceiptReason(tenant_id=ctx.tenant_id, receipt_id=receipt_id, reason=ctx.reason))
        committed = commitment(bytes(reasons[0].salt), ctx.reason)
        entry = replace(entry, inputs={**entry.inputs, "given_reason_commitment": committed})
    body = body_bytes(entry, ctx, receipt_id=receipt_id, occurred_at=occurred_at)
    if ctx.recorded_receipts is not None:
        ctx.recorded_receipts.append((ids.public_id(ids.RECEIPT, receipt_id), body))
    subject = entry.subject
    return [
        Receipt(
            id=receipt_id,
            tenant_id=ctx.tenant_id,
            kind=entry.kind,
            occurred_at=occurred_at,
            actor_id=None if ctx.is_system else ctx.principal_id,
            work_item_id=subject.work_item_id,
            execution_id=subject.execution_id,
            workflow=subject.workflow,
            channel=subject.channel,
            integration=subject.integration,
            status=subject.status,
            policy_version_id=subject.policy_version_id,
            reason_codes=list(entry.reason_codes),
            correlation_id=ctx.correlation_id,
            body=body,
            body_sha256=sha256_hex(body),
        ),
        SealQueueEntry(id=receipt_id, tenant_id=ctx.tenant_id),
        *(
            AccountEvent(tenant_id=ctx.tenant_id, principal_id=principal, receipt_id=receipt_id)
            for principal in _accounts_of(entry)
        ),
        *reasons,
    ]


def record(entry: Entry, *, ctx: ActingContext) -> None:
    """Append one receipt."""
    _insert(_receipt_rows(entry, ctx=ctx), ctx=ctx)


def record_with_source(entry: Entry, source: Source, *, ctx: ActingContext) -> None:
    """Append one receipt about an account, with commitments to `source`. The source itself can be erased."""
    salt = new_salt()
    said = {"address": source.address[:45], "user_agent": source.user_agent[:300]}
    commitments = {f"{name}_commitment": commitment(salt, value) for name, value in said.items() if value}
    rows = _receipt_rows(replace(entry, inputs={**entry.inputs, **commitments}), ctx=ctx)
    for row in rows:
        if isinstance(row, AccountEvent):
            row.address, row.user_agent, row.salt = said["address"], said["user_agent"], salt
    _insert(rows, ctx=ctx)


def _insert(rows: list[Receipt | SealQueueEntry | AccountEvent | ReceiptReason], *, ctx: ActingContext) -> None:
    """Insert the rows of a receipt. It is signed together with the other receipts of the statement."""
    with batched_writes() as writes:
        insert_rows(*rows)
        writes.fill_last(rows[0], "signature", SignReceipts(ctx.tenant_id, ROLE_OF[ctx.entry_point]))


def _accounts_of(entry: Entry) -> list[uuid.UUID]:
    """Return the principals that a receipt about accounts names in its inputs."""
    if not entry.kind.startswith(ACCOUNT_KINDS):
        return []
    named = (ids.parse_public_id(ids.PRINCIPAL, value) for value in entry.inputs.values() if isinstance(value, str))
    return list(dict.fromkeys((*(principal for principal in named if principal is not None), *entry.accounts)))
