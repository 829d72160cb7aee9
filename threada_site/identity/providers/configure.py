"""Versions of identity providers: put, withdrawn, and their links confirmed after a change."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Min

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward, require_stepped_up_person
from threada_site.identity.grants.role_grants import require_roles
from threada_site.identity.providers.authors import authors_since
from threada_site.identity.providers.documents import read_spec
from threada_site.identity.providers.provisioned import unbound_groups
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.tenancy.change_sets import proposer_of
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import ConsoleSession, IdentityLink, IdentityProvider
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import put_version, says_already

_NOUN: Final = "an identity provider"


def upsert_provider(slug: str, spec: dict[str, Any], *, ctx: ActingContext) -> UpsertResult[IdentityProvider]:
    """Add a version of the identity provider `slug`. Receipt `identity_provider.version_added`.

    `spec` was parsed by `parse_provider`, and its secret checked. A version with another issuer, client, key or claim
    of the subject suspends the links of the provider and ends the sessions that they opened. Raise `PermissionDenied`,
    `InvalidRequest` for an unknown role, `PersonRequired`, `StepUpRequired`, `ConfirmationRequired` where a second
    steward must confirm it.

    A version that says the same is added if it binds provisioned groups to roles (`provisioned.unbound_groups`).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    wanted = read_spec(spec)
    require_roles(wanted.all_roles, ctx=ctx)
    IdentityProvider.objects.bulk_create([IdentityProvider(tenant_id=ctx.tenant_id, slug=slug)], ignore_conflicts=True)
    provider = IdentityProvider.objects.select_for_update().get(tenant_id=ctx.tenant_id, slug=slug)
    if says_already(provider, spec) and not _binds_groups(provider, ctx=ctx):
        return UpsertResult(provider, Change.UNCHANGED)
    require_stepped_up_person(_NOUN, ctx=ctx)
    current = provider.current_version
    require_second_steward(
        "put_identity_provider",
        f"Change the identity provider {slug}" if current else f"Add the identity provider {slug}",
        {"provider": slug, "spec": spec},
        before={slug: current.spec} if current else None,
        after={slug: spec},
        ctx=ctx,
    )
    last = provider.versions.order_by("-number").first()
    put = put_version(
        provider,
        spec,
        ctx=ctx,
        name=wanted.name,
        is_operators=ctx.is_system and ctx.entry_point is EntryPoint.COMMAND,
        proposed_by=proposer_of(ctx),
    )
    changes_identity = last is not None and not wanted.keeps_identity_of(read_spec(last.spec))
    suspended = _suspend(provider) if changes_identity else 0
    record(
        Entry(
            kind="identity_provider.version_added",
            inputs={"provider": slug, "spec_sha256": put.version.spec_sha256},
            outcome={"identity_provider_version_id": put.version.public_id, **put.as_outcome(), "suspended": suspended},
        ),
        ctx=ctx,
    )
    return UpsertResult(provider, put.change)


def withdraw_provider(slug: str, *, ctx: ActingContext) -> None:
    """Accept no sign-in by an identity provider and end the sessions that it opened.

    Receipt `identity_provider.withdrawn`. Raise `NotFound`, `PermissionDenied`, `PersonRequired`, `StepUpRequired`,
    `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_stepped_up_person(_NOUN, ctx=ctx)
    rows = IdentityProvider.objects.select_for_update().filter(tenant_id=ctx.tenant_id, slug=slug)
    provider = rows.exclude(current_version=None).first()
    if provider is None or provider.current_version is None:
        raise errors.NotFound
    require_second_steward(
        "withdraw_identity_provider",
        f"Withdraw the identity provider {slug}",
        {"provider": slug},
        before={slug: provider.current_version.spec},
        after=None,
        ctx=ctx,
    )
    provider.current_version = None
    provider.save(update_fields=["current_version"])
    ended = end_sessions(provider)
    record(
        Entry(kind="identity_provider.withdrawn", inputs={"provider": slug}, outcome={"sessions_ended": ended}), ctx=ctx
    )


def confirm_links(slug: str, *, ctx: ActingContext) -> int:
    """Confirm that the suspended links of a provider still name the same people. Return their number.

    Receipt `identity_provider.links_confirmed`. Raise `PermissionDenied`, `PersonRequired`, and `SecondPersonRequired`
    unless the steward is independent of everybody who changed the provider since the first of them was suspended, and
    of the sole authors of its present identity.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    provider = IdentityProvider.objects.select_for_update().filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if provider is None or provider.current_version is None:
        raise errors.NotFound
    version = provider.current_version
    rows = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, provider=provider, suspended_at__isnull=False)
    if not ctx.is_system:
        require_person("Only a person can confirm the links of an identity provider.", ctx=ctx)
        since = rows.aggregate(since=Min("suspended_at"))["since"] or clock.now()
        if not is_independent_of(ctx.principal_id, authors_since(since, version), tenant_id=ctx.tenant_id):
            raise errors.SecondPersonRequired("You changed the identity provider. Another steward must confirm it.")
    confirmed = rows.update(suspended_at=None, issuer=read_spec(version.spec).issuer)
    if confirmed:
        inputs = {"provider": slug, "identity_provider_version_id": version.public_id}
        record(Entry(kind="identity_provider.links_confirmed", inputs=inputs, outcome={"links": confirmed}), ctx=ctx)
    return confirmed


def end_sessions(provider: IdentityProvider) -> int:
    """End the console sessions that links of the provider opened. Return their number."""
    links = IdentityLink.objects.filter(tenant_id=provider.tenant_id, provider=provider).values_list("id", flat=True)
    return ConsoleSession.objects.filter(identity_link_id__in=list(links)).delete()[0]


def _binds_groups(provider: IdentityProvider, *, ctx: ActingContext) -> bool:
    """Return True if a version that says the same binds provisioned groups that got their names later.

    It does if a person after a step-up or the operator writes it. For anybody else nothing changes.
    """
    may_write = ctx.is_system or (ctx.is_person and ctx.recently_reauthenticated(clock.now()))
    version = provider.current_version
    return may_write and version is not None and unbound_groups(version, tenant_id=ctx.tenant_id).exists()


def _suspend(provider: IdentityProvider) -> int:
    rows = IdentityLink.objects.filter(tenant_id=provider.tenant_id, provider=provider, suspended_at=None)
    suspended = rows.update(suspended_at=clock.now())
    end_sessions(provider)
    return suspended
