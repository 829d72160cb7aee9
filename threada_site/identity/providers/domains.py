"""Mail domains on the page that finds a company's sign-in: claimed by documents, confirmed by the operator or DNS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import idna

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.providers.domain_records import LookupFailed, is_recorded
from threada_site.identity.selectors import identity_provider, identity_providers
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import SignInDomain, Tenant

RECORD_LASTS: Final = timedelta(days=7)
"""Time for which a TXT record counts after it was last read. It is read every day."""


def claimed_domains(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mail domains that a stored spec claims. They count only once they are confirmed."""
    return tuple(spec.get("domains", ()))


def domain_of(text: str) -> str:
    """Return the domain of a mail address, or of a domain, in lower-case ASCII; "" if it is none."""
    name = text.strip().rpartition("@")[2].rstrip(".").lower()
    if not 0 < len(name) <= 253 or "." not in name:
        return ""
    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""


def find_sign_in(domain: str) -> tuple[Tenant, str] | None:
    """Return tenant and provider of a confirmed domain, if the provider is in force and still claims the domain."""
    row = SignInDomain.objects.select_related("holder").filter(domain=domain).first()
    if row is None or not row.holder.is_active or (row.expires_at is not None and row.expires_at <= clock.now()):
        return None
    with unit_of_work(row.holder_id):
        provider = identity_provider(row.provider, tenant_id=row.holder_id)
    if provider is None or provider.current_version is None:
        return None
    return (row.holder, row.provider) if domain in claimed_domains(provider.current_version.spec) else None


def confirm_domain(domain: str, provider: str, *, ctx: ActingContext) -> None:
    """Confirm a domain as the operator, until it is withdrawn. Receipt `sign_in_domain.confirmed`.

    Raise `NotFound` if the provider does not claim it, `Conflict` if another tenant has it.
    """
    require_unit_of_work(ctx.tenant_id)
    found = identity_provider(provider, tenant_id=ctx.tenant_id)
    if found is None or found.current_version is None or domain not in claimed_domains(found.current_version.spec):
        raise errors.NotFound(f"The identity provider {provider} does not list {domain} among its domains.")
    _store(domain, provider, by="operator", ctx=ctx)


def withdraw_domain(domain: str, *, why: str = "operator", ctx: ActingContext) -> None:
    """Withdraw a domain of the tenant. Receipt `sign_in_domain.withdrawn`. Raise `NotFound`."""
    require_unit_of_work(ctx.tenant_id)
    with platform_role():
        ended, _ = SignInDomain.objects.filter(domain=domain, holder_id=ctx.tenant_id).delete()
    if not ended:
        raise errors.NotFound(f"{domain} is not confirmed for this tenant.")
    record(Entry(kind="sign_in_domain.withdrawn", inputs={"domain": domain}, outcome={"why": why}), ctx=ctx)


def check_domains(*, ctx: ActingContext) -> dict[str, str]:
    """Read the TXT records of the domains that the tenant's providers claim. Return what was found for each.

    A record confirms its domain for `RECORD_LASTS`. A domain whose record is gone is withdrawn; without an answer of
    DNS nothing changes. What the operator confirmed is left alone. Opens its own units of work.
    """
    with unit_of_work(ctx.tenant_id):
        claimed = {
            domain: provider.slug
            for provider in identity_providers(ctx.tenant_id)
            if provider.current_version is not None
            for domain in claimed_domains(provider.current_version.spec)
        }
    held = {row.domain: row for row in SignInDomain.objects.filter(holder_id=ctx.tenant_id)}
    found: dict[str, str] = {}
    for domain in sorted(claimed.keys() | held.keys()):
        row = held.get(domain)
        if row is not None and row.expires_at is None:
            found[domain] = "confirmed by the operator"
            continue
        try:
            proves = domain in claimed and is_recorded(domain, ctx.tenant_id)
        except LookupFailed as failure:
            found[domain] = str(failure)
            continue
        with unit_of_work(ctx.tenant_id):
            found[domain] = _apply(domain, claimed.get(domain, ""), proves=proves, is_held=row is not None, ctx=ctx)
    return found


def _apply(domain: str, provider: str, *, proves: bool, is_held: bool, ctx: ActingContext) -> str:
    if proves:
        try:
            _store(domain, provider, by="dns", ctx=ctx)
        except errors.Conflict as refusal:
            return refusal.detail
        return "confirmed by its TXT record"
    if is_held:
        withdraw_domain(domain, why="record_gone", ctx=ctx)
    return "no TXT record of this tenant"


def _store(domain: str, provider: str, *, by: str, ctx: ActingContext) -> None:
    """Give a domain to the tenant. An expired domain of another tenant is free."""
    now = clock.now()
    with platform_role():
        SignInDomain.objects.filter(domain=domain, expires_at__lte=now).exclude(holder_id=ctx.tenant_id).delete()
        fresh = SignInDomain(domain=domain, holder_id=ctx.tenant_id, provider=provider, confirmed_at=now)
        SignInDomain.objects.bulk_create([fresh], ignore_conflicts=True)
        row = SignInDomain.objects.select_for_update().get(domain=domain)
        if row.holder_id != ctx.tenant_id:
            raise errors.Conflict(f"{domain} is confirmed for another tenant. Withdraw it there first.")
        is_new = row.confirmed_at == now or row.provider != provider
        row.provider, row.confirmed_at = provider, now
        row.expires_at = None if by == "operator" else now + RECORD_LASTS
        row.save(update_fields=["provider", "confirmed_at", "expires_at"])
    if is_new:
        inputs = {"domain": domain, "provider": provider}
        record(Entry(kind="sign_in_domain.confirmed", inputs=inputs, outcome={"by": by}), ctx=ctx)
