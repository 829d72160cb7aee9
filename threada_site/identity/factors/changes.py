"""Receipts of changes to the second factors of a person, in each of the person's tenants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record_with_source
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.source import Source
from threada_site.tenancy.factor_models import EnrolledFactor
from threada_site.tenancy.models import User

type FactorChange = Literal["enrolled", "renamed", "removed", "cloned"]


def record_change(change: FactorChange, factor: EnrolledFactor, source: Source, *, ctx: ActingContext) -> None:
    """Write the receipt `second_factor.{change}` in the unit of work of `ctx`. The person is notified of most.

    Call `record_change_elsewhere` afterwards. Names of factors are personal data, so receipts contain none.
    """
    _record(change, factor, source, ctx=ctx)
    if change == "enrolled":
        notify_person(factor.user_id, "factor_enrolled", factor.label, ctx=ctx)
    elif change == "removed":
        notify_person(factor.user_id, "factor_removed", factor.label, ctx=ctx)


def record_change_elsewhere(
    change: FactorChange, factor: EnrolledFactor, source: Source, *, ctx: ActingContext
) -> None:
    """Write the receipt in the other tenants of the person. Opens its own units of work."""
    for there in _other_tenants(factor.user, ctx=ctx):
        with unit_of_work(there.tenant_id, actor=there):
            _record(change, factor, source, ctx=there)


def record_cloned(factor: EnrolledFactor, source: Source, *, correlation_id: str) -> None:
    """Write the receipt `second_factor.cloned` in each tenant of the person. Opens its own units of work.

    Whoever used the copy is unknown, so the system records it.
    """
    for tenant in tenants_of_person(factor.user):
        ctx = system_context(
            tenant_id=tenant.tenant_id,
            tenant_slug=tenant.slug,
            correlation_id=correlation_id,
            entry_point=EntryPoint.CONSOLE,
        )
        with unit_of_work(ctx.tenant_id, actor=ctx):
            record_change("cloned", factor, source, ctx=ctx)


def _other_tenants(person: User, *, ctx: ActingContext) -> Iterator[ActingContext]:
    """Yield the context of `ctx` in each other tenant of a person."""
    for tenant in tenants_of_person(person):
        if tenant.tenant_id != ctx.tenant_id:
            yield replace(ctx, tenant_id=tenant.tenant_id, tenant_slug=tenant.slug)


def _record(change: FactorChange, factor: EnrolledFactor, source: Source, *, ctx: ActingContext) -> None:
    inputs = {"principal": factor.user.public_id, "factor": factor.public_id, "method": factor.kind}
    record_with_source(Entry(kind=f"second_factor.{change}", inputs=inputs), source, ctx=ctx)
