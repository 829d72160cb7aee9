"""Roles of people from their groups at an identity provider."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import replace

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.grants.grant_records import end_grants, record_grants
from threada_site.identity.providers.authors import sole_authors
from threada_site.identity.providers.documents import read_spec
from threada_site.identity.selectors import roles_of_member, scopes_of_roles
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ALL_SCOPES, ActingContext, PrincipalKind, Scope
from threada_site.tenancy.authority_models import AccountDependence, GrantKind, GrantRecord
from threada_site.tenancy.change_sets import ProposedChange, require_confirmation
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import (
    IdentityLink,
    IdentityProvider,
    IdentityProviderVersion,
    ProvisionedPerson,
    Role,
    User,
)


def sync_roles(
    person: User,
    version: IdentityProviderVersion,
    groups: frozenset[str],
    *,
    by: uuid.UUID | None = None,
    ctx: ActingContext,
) -> None:
    """Give a person the roles of the groups at the provider, and withdraw those whose groups are gone.

    Roles that were granted by hand, or by another provider, stay as they are. While `identity_four_eyes` is on, roles
    that make the person a steward are proposed as change sets, which nobody publishes who wrote the provider alone or
    controls the person's provisioning client. `ctx` is the system's. `by`: the steward who alone
    decided on the source of `groups`, besides the `sole_authors` of the version.
    Receipts `role.granted` and `role.withdrawn` with the provider.
    """
    require_unit_of_work(ctx.tenant_id)
    provider, spec = version.provider, read_spec(version.spec)
    rows = GrantRecord.objects.filter(tenant_id=ctx.tenant_id, user=person, kind=GrantKind.ROLE, source=provider.slug)
    from_here = set(rows.values_list("name", flat=True))
    held = set(roles_of_member(person, tenant_id=ctx.tenant_id))
    existing = set(Role.objects.filter(tenant_id=ctx.tenant_id).values_list("slug", flat=True))
    wanted = spec.roles_of(groups) & existing
    for role in sorted(from_here - wanted):
        withdraw_provider_role(person, role, provider.slug, ctx=ctx)
    kept = held - (from_here - wanted)
    needs_confirmation = is_four_eyes_required(ctx.tenant_id, IDENTITY_FOUR_EYES)
    makes_steward = not _are_stewards(kept, ctx=ctx) and _are_stewards(kept | wanted, ctx=ctx)
    new = sorted(wanted - held)
    authors = sole_authors(version) if new else []
    for role in new:
        if needs_confirmation and (makes_steward or _are_stewards({role}, ctx=ctx)):
            proposal = _proposal(person, role, provider.slug, ctx=ctx)
            parties = proposal.parties.union(authors, _clients_of(person, tenant_id=ctx.tenant_id))
            propose(replace(proposal, parties=parties), ctx=ctx)
        else:
            _grant(person, role, provider.slug, by=next(iter(authors), by), ctx=ctx)


def grant_provider_role(person: User, role: str, provider: str, *, ctx: ActingContext) -> None:
    """Give a person a role that the groups at a provider named at the last sign-in. Operation of a change set.

    Raise `ConfirmationRequired` for a steward alone. Raise `NotFound` if the provider does not map the role, or the
    person has no link to it and is not provisioned, any more.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    row = (
        IdentityProvider.objects.select_related("current_version")
        .filter(tenant_id=ctx.tenant_id, slug=provider)
        .first()
    )
    links = IdentityLink.objects.filter(
        tenant_id=ctx.tenant_id, provider=row, user=person, suspended_at=None, unlinked_at=None, ended_at=None
    )
    is_mapped = (
        row is not None and row.current_version is not None and role in read_spec(row.current_version.spec).all_roles
    )
    provisioned = ProvisionedPerson.objects.filter(tenant_id=ctx.tenant_id, user=person, is_active=True)
    if not is_mapped or not (links.exists() or provisioned.exists()):
        raise errors.NotFound("The identity provider does not give this role to the person any more.")
    if role not in roles_of_member(person, tenant_id=ctx.tenant_id):
        require_confirmation(_proposal(person, role, provider, ctx=ctx), ctx=ctx, always=True)
        _grant(person, role, provider, ctx=ctx)


def withdraw_provider_role(person: User, role: str, provider: str, *, ctx: ActingContext) -> None:
    """Withdraw a role that a provider gave. Receipt `role.withdrawn`."""
    found = Role.objects.select_related("group").filter(tenant_id=ctx.tenant_id, slug=role).first()
    if found is not None:
        person.groups.remove(found.group)
    end_grants([person.id], GrantKind.ROLE, role, ctx=ctx)
    record(
        Entry(kind="role.withdrawn", inputs={"principal": person.public_id, "role": role, "provider": provider}),
        ctx=ctx,
    )


def withdraw_roles_of(provider: str, person: User, *, ctx: ActingContext) -> None:
    """Withdraw all roles that a provider gave to a person. Receipts `role.withdrawn`."""
    require_unit_of_work(ctx.tenant_id)
    rows = GrantRecord.objects.filter(tenant_id=ctx.tenant_id, user=person, kind=GrantKind.ROLE, source=provider)
    for role in sorted(rows.values_list("name", flat=True)):
        withdraw_provider_role(person, role, provider, ctx=ctx)


def _grant(person: User, role: str, provider: str, *, by: uuid.UUID | None = None, ctx: ActingContext) -> None:
    person.groups.add(Role.objects.select_related("group").get(tenant_id=ctx.tenant_id, slug=role).group)
    record_grants([person.id], GrantKind.ROLE, role, source=provider, by=by, ctx=ctx)
    record(
        Entry(kind="role.granted", inputs={"principal": person.public_id, "role": role, "provider": provider}), ctx=ctx
    )


def _clients_of(person: User, *, tenant_id: uuid.UUID) -> set[uuid.UUID]:
    """Return the provisioning clients that added a person or gave the person another external id, also if confirmed."""
    rows = AccountDependence.objects.filter(tenant_id=tenant_id, user=person)
    return set(rows.exclude(depends_on__kind=PrincipalKind.HUMAN.value).values_list("depends_on_id", flat=True))


def _are_stewards(roles: Collection[str], *, ctx: ActingContext) -> bool:
    """Return True if somebody with these roles has every scope."""
    scopes = scopes_of_roles(roles, tenant_id=ctx.tenant_id)
    return {Scope(scope) for held in scopes.values() for scope in held} >= ALL_SCOPES


def _proposal(person: User, role: str, provider: str, *, ctx: ActingContext) -> ProposedChange:
    """Return the change that gives the role, which a steward independent of the person may publish."""
    return ProposedChange(
        rule=IDENTITY_FOUR_EYES,
        operation="identity.grant_provider_role",
        title=f"Give {person.username} the role {role} from the identity provider {provider}",
        arguments={"principal": person.public_id, "role": role, "provider": provider},
        before={person.username: {}},
        after={person.username: scopes_of_roles([role], tenant_id=ctx.tenant_id), "provider": provider},
        parties=frozenset({person.id}),
    )
