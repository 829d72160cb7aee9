"""Receipts and notices of changes to the second factors of a person.

A factor belongs to the person and to no tenant, so every tenant of the person records its changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.personal_notices import PersonalNotice, notify_person
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.tenancy.models import EnrolledFactor, User


@dataclass(frozen=True, slots=True)
class FactorEvent:
    """Change to the factors of `person`. `what` is the label of the factor in the notice."""

    kind: str
    notice: PersonalNotice
    person: User
    what: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)


def record_event(event: FactorEvent, *, ctx: ActingContext) -> None:
    """Record the event in the tenant of `ctx`, and notify the person."""
    require_unit_of_work(ctx.tenant_id)
    _record(event, ctx=ctx)
    notify_person(event.person.id, event.notice, event.what, ctx=ctx)


def record_elsewhere(event: FactorEvent, *, ctx: ActingContext) -> None:
    """Record the event in the other tenants of the person. Opens its own units of work."""
    for tenant in tenants_of_person(event.person):
        if tenant.tenant_id != ctx.tenant_id:
            there = replace(ctx, tenant_id=tenant.tenant_id, tenant_slug=tenant.slug)
            with unit_of_work(there.tenant_id, actor=there):
                _record(event, ctx=there)


def _record(event: FactorEvent, *, ctx: ActingContext) -> None:
    record(Entry(kind=event.kind, inputs={"principal": event.person.public_id, **event.inputs}), ctx=ctx)


def record_cloned_passkey(factor: EnrolledFactor, *, correlation_id: str) -> None:
    """Write the receipt `second_factor.cloned` of a copied passkey in each tenant of the person, and notify the person.

    Whoever used it is unknown, so the system records it. Opens its own units of work.
    """
    event = FactorEvent(
        "second_factor.cloned", "passkey_cloned", factor.user, what=factor.label, inputs={"factor": factor.public_id}
    )
    for tenant in tenants_of_person(factor.user)[:1]:
        ctx = system_context(
            tenant_id=tenant.tenant_id,
            tenant_slug=tenant.slug,
            correlation_id=correlation_id,
            entry_point=EntryPoint.CONSOLE,
        )
        with unit_of_work(ctx.tenant_id, actor=ctx):
            record_event(event, ctx=ctx)
        record_elsewhere(event, ctx=ctx)
