"""Receipts of console sessions: sign-in, failed sign-in, sign-out and choice of a tenant.

A sign-in is recorded in each tenant of the person. These services open their own units of work, because nobody is in a
tenant yet when they are called.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from telemetry.models import SignInFailures
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record_with_source
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import console_context, tenants_of_person
from threada_site.kernel import clock, ids
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    system_context,
)
from threada_site.kernel.factors import Factor
from threada_site.kernel.source import Source
from threada_site.tenancy.models import User

RECEIPTS_PER_HOUR: Final = 5
"""Receipts of failed sign-ins per account and hour. Further failures are counted in one receipt."""
COUNTED_FOR: Final = timedelta(hours=1)


def record_sign_in(
    person: User,
    source: Source,
    *,
    provider_tenant: uuid.UUID | None = None,
    factors: tuple[str, ...] = (),
    correlation_id: str,
) -> None:
    """Record `session.signed_in` in each tenant of the person, after the failed sign-ins without a receipt.

    `provider_tenant`: tenant of the identity provider that signed the person in, and the only one that records it.
    `factors`: what the person proved; by default a password, or a sign-in at the identity provider.
    """
    now = clock.now()
    contexts = contexts_of_person(
        person, provider_tenant, factors=factors, correlation_id=correlation_id, signed_in_at=now
    )
    for ctx in contexts:
        with unit_of_work(ctx.tenant_id, actor=ctx):
            failures = _locked_failures(person, ctx=ctx)
            if failures is not None:
                _record_unrecorded(failures, person, ctx=_stranger(ctx))
            proved = {"factors": list(factors)} if factors else {}
            entry = Entry(kind="session.signed_in", inputs={"principal": person.public_id, **proved})
            record_with_source(entry, source, ctx=ctx)


def record_sign_out(
    person: User,
    source: Source,
    *,
    provider_tenant: uuid.UUID | None = None,
    factors: tuple[str, ...] = (),
    signed_in_at: datetime | None,
    correlation_id: str,
) -> None:
    """Record `session.signed_out` in each tenant of the person, or in that of its identity provider only."""
    contexts = contexts_of_person(
        person, provider_tenant, factors=factors, correlation_id=correlation_id, signed_in_at=signed_in_at
    )
    for ctx in contexts:
        with unit_of_work(ctx.tenant_id, actor=ctx):
            _record("session.signed_out", person, source, ctx=ctx)


def record_tenant_choice(person: User, source: Source, *, ctx: ActingContext) -> None:
    """Record `session.tenant_chosen` in the chosen tenant."""
    with unit_of_work(ctx.tenant_id, actor=ctx):
        _record("session.tenant_chosen", person, source, ctx=ctx)


def record_failed_sign_in(name: str, source: Source, *, correlation_id: str) -> None:
    """Record `session.sign_in_failed` in each tenant of the account `name`. Nothing happens if there is none.

    At most `RECEIPTS_PER_HOUR` receipts per account and hour, so that a stranger cannot fill the log. The others are
    counted in one receipt (`count`), written with the next sign-in or the first failure after the hour.
    """
    if not ids.is_slug(name):
        return
    person = User.objects.filter(username=name, kind=PrincipalKind.HUMAN).first()
    if person is None:
        return
    for tenant in tenants_of_person(person):
        ctx = system_context(
            tenant_id=tenant.tenant_id,
            tenant_slug=tenant.slug,
            correlation_id=correlation_id,
            entry_point=EntryPoint.CONSOLE,
        )
        with unit_of_work(ctx.tenant_id, actor=ctx):
            _count_failure(person, source, now=clock.now(), ctx=ctx)


def _count_failure(person: User, source: Source, *, now: datetime, ctx: ActingContext) -> None:
    fresh = SignInFailures(tenant_id=ctx.tenant_id, principal_id=person.id, since=now)
    SignInFailures.objects.bulk_create([fresh], ignore_conflicts=True)
    failures = _locked_failures(person, ctx=ctx)
    if failures is None:  # erased in the meantime
        return
    if now - failures.since >= COUNTED_FOR:
        _record_unrecorded(failures, person, ctx=ctx)
        failures.since, failures.recorded = now, 0
    if failures.recorded < RECEIPTS_PER_HOUR:
        failures.recorded += 1
        _record("session.sign_in_failed", person, source, ctx=ctx, count=1)
    else:
        failures.unrecorded += 1
    failures.save(update_fields=["since", "recorded", "unrecorded"])


def _record_unrecorded(failures: SignInFailures, person: User, *, ctx: ActingContext) -> None:
    """Record the failures without a receipt in one receipt."""
    if not failures.unrecorded:
        return
    since = clock.rfc3339(failures.since)
    _record("session.sign_in_failed", person, Source(), ctx=ctx, count=failures.unrecorded, since=since)
    failures.unrecorded = 0
    failures.save(update_fields=["unrecorded"])


def _locked_failures(person: User, *, ctx: ActingContext) -> SignInFailures | None:
    rows = SignInFailures.objects.select_for_update()
    return rows.filter(tenant_id=ctx.tenant_id, principal_id=person.id).first()


def _record(kind: str, person: User, source: Source, *, ctx: ActingContext, **outcome: Any) -> None:
    entry = Entry(kind=kind, inputs={"principal": person.public_id}, outcome=outcome)
    record_with_source(entry, source, ctx=ctx)


def contexts_of_person(
    person: User,
    provider_tenant: uuid.UUID | None,
    *,
    factors: tuple[str, ...],
    correlation_id: str,
    signed_in_at: datetime | None,
) -> list[ActingContext]:
    """Return a context of the person in each tenant, or in that of the identity provider only.

    Return [] for an account that is not active. Needs no unit of work.
    """
    authentication = session_authentication(
        is_by_provider=provider_tenant is not None, factors=factors, signed_in_at=signed_in_at
    )
    return [
        replace(console_context(person, tenant.slug, correlation_id), authentication=authentication)
        for tenant in tenants_of_person(person)
        if person.is_active and person.kind == PrincipalKind.HUMAN and provider_tenant in (None, tenant.tenant_id)
    ]


def session_authentication(
    *, is_by_provider: bool, factors: tuple[str, ...], signed_in_at: datetime | None
) -> Authentication:
    """Return the authentication of a session that an identity provider, or the person with a password, opened."""
    first = Factor.PROVIDER if is_by_provider else Factor.PASSWORD
    return Authentication(
        method=AuthenticationMethod.IDENTITY_PROVIDER if is_by_provider else AuthenticationMethod.SESSION,
        at=signed_in_at,
        factors=factors or (first.value,),
    )


def _stranger(ctx: ActingContext) -> ActingContext:
    """Return the context of the system: the person who failed to sign in is unknown."""
    return system_context(
        tenant_id=ctx.tenant_id,
        tenant_slug=ctx.tenant_slug,
        correlation_id=ctx.correlation_id,
        entry_point=EntryPoint.CONSOLE,
    )
