"""Security history of an account: sign-ins, credentials, passwords, roles and delegations, from receipts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from telemetry.models import AccountEvent, Receipt, SignInFailures
from threada_site.identity.selectors import principals_of_tenant
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User

PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Event about an account. `details` are values of the receipt, with names in place of ids of principals.

    `address` and `user_agent` are empty if there are none or if they were erased.
    """

    receipt_id: str
    kind: str
    occurred_at: datetime
    actor: str
    entry_point: str
    details: dict[str, str]
    count: int
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class SecurityHistory:
    """Page of a security history, newest first. `older` is the receipt before which the next page begins."""

    principal: User
    events: list[SecurityEvent]
    older: str | None
    unrecorded_failures: int


def security_history(principal_id: uuid.UUID, *, before: uuid.UUID | None, ctx: ActingContext) -> SecurityHistory:
    """Return the events about a principal's account in this tenant, in at most five statements.

    Raise `NotFound` for a principal of no membership here, and to members who are not stewards for others.
    """
    if principal_id != ctx.principal_id and not is_steward(ctx):
        raise errors.NotFound("There is no such account in this tenant.")
    principal = principals_of_tenant(ctx.tenant_id).filter(id=principal_id).first()
    if principal is None:
        raise errors.NotFound("There is no such account in this tenant.")
    rows = AccountEvent.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal_id)
    rows = rows if before is None else rows.filter(receipt_id__lt=before)
    found = list(rows.order_by("-receipt_id")[: PAGE + 1])
    shown = found[:PAGE]
    receipts = Receipt.objects.filter(tenant_id=ctx.tenant_id).in_bulk([row.receipt_id for row in shown])
    bodies = {receipt_id: orjson.loads(bytes(receipt.body)) for receipt_id, receipt in receipts.items()}
    names = _names(bodies.values(), ctx=ctx)
    events = [
        _event(row, receipts[row.receipt_id], bodies[row.receipt_id], names)
        for row in shown
        if row.receipt_id in receipts
    ]
    failures = SignInFailures.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal_id).first()
    return SecurityHistory(
        principal=principal,
        events=events,
        older=ids.public_id(ids.RECEIPT, shown[-1].receipt_id) if len(found) > PAGE else None,
        unrecorded_failures=failures.unrecorded if failures else 0,
    )


def _event(row: AccountEvent, receipt: Receipt, body: dict[str, Any], names: dict[str, str]) -> SecurityEvent:
    own = ids.public_id(ids.PRINCIPAL, row.principal_id)
    details = {
        key: names.get(value, value) if isinstance(value, str) else ", ".join(map(str, value))
        for key, value in body["inputs"].items()
        if isinstance(value, str | list) and value and value != own and not key.endswith("_commitment")
    }
    actor = body["actor"]
    return SecurityEvent(
        receipt_id=receipt.public_id,
        kind=receipt.kind,
        occurred_at=receipt.occurred_at,
        actor=names.get(actor["principal"], actor["principal"]),
        entry_point=actor["entry_point"],
        details=details,
        count=body["outcome"].get("count", 1),
        address=row.address,
        user_agent=row.user_agent,
    )


def _names(bodies: Any, *, ctx: ActingContext) -> dict[str, str]:
    """Return public id → name of the principals of this tenant that the receipts name."""
    texts = {
        value for body in bodies for value in (*body["inputs"].values(), body["actor"]["principal"])
        if isinstance(value, str)
    }  # fmt: skip
    named = [found for text in texts if (found := ids.parse_public_id(ids.PRINCIPAL, text))]
    people = principals_of_tenant(ctx.tenant_id).filter(id__in=named)
    return {person.public_id: person.username for person in people}
