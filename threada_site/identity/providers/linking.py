"""Links that people make and end themselves: accounts at identity providers, for accounts that exist already."""

from __future__ import annotations

import uuid

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.dependence import record_dependence
from threada_site.identity.factors.enrolled import enrolled_kinds
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.providers.authors import sole_authors
from threada_site.identity.providers.documents import read_spec
from threada_site.identity.providers.links import Identity, person_provisioned_as
from threada_site.identity.providers.provisioned import bound_groups
from threada_site.identity.providers.role_grants import sync_roles, withdraw_roles_of
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.kernel.factors import Factor
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.models import ConsoleSession, IdentityLink, IdentityProvider, IdentityProviderVersion, User


def links_of_person(person_id: uuid.UUID, *, tenant_id: uuid.UUID) -> list[IdentityLink]:
    """Return the links that a person has in a tenant, with their providers, oldest first."""
    rows = IdentityLink.objects.filter(tenant_id=tenant_id, user_id=person_id, unlinked_at=None, ended_at=None)
    return list(rows.select_related("provider").order_by("id"))


def link_identity(
    identity: Identity, version: IdentityProviderVersion, *, ctx: ActingContext, system: ActingContext
) -> IdentityLink:
    """Link an account at an identity provider with the acting person, who proved both. Set the person's roles.

    The person depends on the `sole_authors` of the provider's version, as an account that the provider creates.
    `system` gives the roles. Receipt `identity.linked`, and a notice to the person. Raise `PermissionDenied` outside of
    a session, `SignInStateInvalid` for a version that is no longer current, `IdentityLinkSuspended`, `Conflict` if the
    account belongs to somebody else, or the person has another account at the provider, and of a provider of
    provisioned people `IdentityNotProvisioned` or `IdentityAmbiguous` unless the account names the person.
    """
    person = _acting_person(ctx)
    provider = IdentityProvider.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=version.provider_id)
    if provider.current_version_id != version.id:
        raise errors.SignInStateInvalid
    groups = _groups_of(person, identity, version)
    links = IdentityLink.objects.select_for_update().filter(tenant_id=ctx.tenant_id, provider=provider)
    found = list(links.filter(subject=identity.subject))
    if any(link.user_id != person.id for link in found):
        raise errors.Conflict(
            f"This account at {provider.name} belongs to another account of this tenant. Ask a tenant administrator."
        )
    if any(link.suspended_at is not None for link in found):
        raise errors.IdentityLinkSuspended
    others = links.filter(user=person, unlinked_at=None, ended_at=None).exclude(subject=identity.subject)
    if others.exists():
        raise errors.Conflict(f"You have linked another account at {provider.name}. Unlink it first.")
    link = next((link for link in found if link.issuer == identity.issuer), None)
    if link is None:
        link = IdentityLink.objects.create(
            tenant_id=ctx.tenant_id, provider=provider, user=person, issuer=identity.issuer, subject=identity.subject
        )
    link.ended_at = link.unlinked_at = None
    link.save(update_fields=["ended_at", "unlinked_at"])
    record(Entry(kind="identity.linked", inputs=_inputs(link, provider), outcome={"issuer": identity.issuer}), ctx=ctx)
    for author in sole_authors(version):
        record_dependence(person, DependenceReason.LINKED, on=author, ctx=ctx)
    notify_person(person.id, "sign_in_linked", provider.name, ctx=ctx)
    sync_roles(person, version, groups, ctx=system)
    return link


def unlink_identity(link_id: uuid.UUID, *, ctx: ActingContext, system: ActingContext) -> IdentityLink:
    """End a link of the acting person, the roles that its provider gave, and the sessions that it opened.

    Receipts `identity.unlinked` and `role.withdrawn`, and a notice to the person. Raise `PermissionDenied` outside of a
    session, `NotFound`, and `Conflict` if the person could not sign in any more.
    """
    person = _acting_person(ctx)
    mine = IdentityLink.objects.select_for_update(of=("self",)).select_related("provider")
    mine = mine.filter(tenant_id=ctx.tenant_id, user=person, unlinked_at=None, ended_at=None)
    link = next((row for row in mine if row.id == link_id), None)
    if link is None:
        raise errors.NotFound("You have no such link.")
    has_other = any(row.id != link_id and row.suspended_at is None for row in mine)
    if not (has_other or person.has_usable_password() or Factor.PASSKEY in enrolled_kinds(person.id)):
        raise errors.Conflict("You have no other way to sign in. Set a password or link another account first.")
    link.unlinked_at = clock.now()
    link.save(update_fields=["unlinked_at"])
    ended, _ = ConsoleSession.objects.filter(identity_link_id=link.id).delete()
    entry = Entry(kind="identity.unlinked", inputs=_inputs(link, link.provider), outcome={"sessions_ended": ended})
    record(entry, ctx=ctx)
    withdraw_roles_of(link.provider.slug, person, ctx=system)
    notify_person(person.id, "sign_in_unlinked", link.provider.name, ctx=ctx)
    return link


def _groups_of(person: User, identity: Identity, version: IdentityProviderVersion) -> frozenset[str]:
    """Return the groups that give roles: the provisioned ones, at a provider that signs in provisioned people only."""
    provisioned = person_provisioned_as(identity, read_spec(version.spec), tenant_id=version.tenant_id)
    if provisioned is None:
        return identity.groups
    if provisioned.user_id != person.id:
        raise errors.IdentityAmbiguous
    return bound_groups([person], version, tenant_id=version.tenant_id)[person.id]


def _acting_person(ctx: ActingContext) -> User:
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_person or ctx.entry_point is not EntryPoint.CONSOLE:
        raise errors.PermissionDenied("People link accounts themselves, in their own session.")
    return User.objects.get(id=ctx.principal_id)


def _inputs(link: IdentityLink, provider: IdentityProvider) -> dict[str, str]:
    return {"principal": link.user.public_id, "provider": provider.slug, "link": link.public_id}
