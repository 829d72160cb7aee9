"""Links between accounts at an identity provider and people: by issuer and subject, never by mail address."""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.dependence import record_dependence
from threada_site.identity.grants.grant_records import record_grants
from threada_site.identity.providers.authors import sole_authors
from threada_site.identity.providers.documents import NAME_ID, ProviderSpec, read_spec
from threada_site.identity.providers.provisioned import bound_groups, has_unconfirmed_id, provisioned_person
from threada_site.identity.providers.role_grants import sync_roles
from threada_site.identity.providers.saml_metadata import NAME_ID_FORMAT, PERSISTENT
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import DependenceReason, GrantKind
from threada_site.tenancy.models import (
    IdentityLink,
    IdentityProvider,
    IdentityProviderVersion,
    Membership,
    ProvisionedPerson,
    User,
)

_MOST_SUBJECT: Final = 255
_MOST_GROUPS: Final = 10_000
_SUFFIX_LETTERS: Final = "abcdefghjkmnpqrstvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Identity:
    """Account at an identity provider, as its verified claims describe it."""

    issuer: str
    subject: str
    email: str
    name: str
    groups: frozenset[str]
    external_id: str = ""


def identity_of(claims: Mapping[str, Any], spec: ProviderSpec) -> Identity:
    """Return the account in verified claims.

    Of a NameID that is not persistent, the format is part of the subject: a person may ask a SAML provider for another
    format, and choose a value there that names somebody else in the usual one. Raise `IdentitySubjectUnmapped` without
    a lasting id, and `IdentityClaimMissing` without a required claim.
    """
    for claim, accepted in spec.required_claims.items():
        value = claims.get(claim)
        if not any(one in accepted for one in (value if isinstance(value, list) else [value])):
            raise errors.IdentityClaimMissing(
                f"Your account at the identity provider does not have the claim {claim} that this tenant requires."
            )
    subject, name_format = claims.get(spec.claims["subject"]), claims.get(NAME_ID_FORMAT, PERSISTENT)
    if name_format != PERSISTENT:
        if spec.claims.get("scim_external_id") == NAME_ID:
            raise errors.IdentitySubjectUnmapped("Only a persistent NameID names a provisioned person.")
        if spec.claims["subject"] == NAME_ID and subject:
            subject = f"{name_format} {subject}"
    if not isinstance(subject, str) or not subject.strip() or len(subject) > _MOST_SUBJECT or not subject.isprintable():
        raise errors.IdentitySubjectUnmapped
    groups = claims.get(spec.claims["groups"])
    named = groups if isinstance(groups, list) else [groups]
    return Identity(
        issuer=spec.issuer,
        subject=subject,
        email=_email(claims.get(spec.claims["email"])),
        name=_text(claims.get(spec.claims["name"])),
        groups=frozenset(group for group in named[:_MOST_GROUPS] if isinstance(group, str)),
        external_id=_external_id(claims.get(spec.claims.get("scim_external_id", ""))),
    )


def sign_in_identity(
    identity: Identity,
    provider: IdentityProvider,
    version: IdentityProviderVersion,
    spec: ProviderSpec,
    *,
    ctx: ActingContext,
) -> IdentityLink:
    """Return the link of an account with its person, created if the provider creates accounts; set the person's roles.

    `ctx` is the system's. Receipts `principal.created`, `member.added`, `identity.linked`, `role.granted`,
    `role.withdrawn`. Raise `IdentityLinkSuspended`, `IdentityNotLinked`, `IdentityNotProvisioned`, `IdentityAmbiguous`,
    and `PrincipalInactive` for a person who was deactivated or is not a member any more.
    """
    require_unit_of_work(ctx.tenant_id)
    IdentityProvider.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=provider.id)
    links = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, provider=provider, subject=identity.subject)
    if links.exclude(suspended_at=None).exists():
        raise errors.IdentityLinkSuspended
    link = links.filter(issuer=identity.issuer).select_related("user").first()
    provisioned = person_provisioned_as(identity, spec, tenant_id=ctx.tenant_id)
    if link is None:
        of_person = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, provider=provider, suspended_at__isnull=False)
        if provisioned is not None and of_person.filter(user=provisioned.user).exists():
            raise errors.IdentityLinkSuspended
        link = (
            _link(provisioned.user, identity, provider, version, ctx=ctx)
            if provisioned is not None
            else _create(identity, provider, version, spec, ctx=ctx)
        )
    elif provisioned is not None and provisioned.user_id != link.user_id:
        raise errors.IdentityAmbiguous
    if link.unlinked_at is not None:
        raise errors.IdentityNotLinked("You unlinked this account. Sign in another way and link it again.")
    person = link.user
    membership = Membership.objects.filter(tenant_id=ctx.tenant_id, user=person).first()
    is_member = membership is not None and membership.accepted_at is not None
    if not (person.is_active and is_member):
        raise errors.PrincipalInactive("You are not a member of this tenant any more. Ask a tenant administrator.")
    if link.ended_at is not None:
        raise errors.PrincipalInactive(
            "This account was ended. Sign in another way and link it again, or ask a steward to restore it."
        )
    link.last_used_at = clock.now()
    link.save(update_fields=["last_used_at"])
    groups = identity.groups
    if provisioned is not None:
        groups = bound_groups([person], version, tenant_id=ctx.tenant_id)[person.id]
    sync_roles(person, version, groups, ctx=ctx)
    return link


def is_link_current(link_id: uuid.UUID, version: IdentityProviderVersion) -> bool:
    """Return True if a link signs in by this version of its provider.

    Waits for changes of the provider and of the link to commit: a departure ends links, and another external id locks
    them, before either looks for sessions.
    """
    require_unit_of_work(version.tenant_id)
    provider = IdentityProvider.objects.select_for_update().get(tenant_id=version.tenant_id, id=version.provider_id)
    link = IdentityLink.objects.select_for_update().filter(tenant_id=version.tenant_id, id=link_id).first()
    if link is None or any((link.suspended_at, link.unlinked_at, link.ended_at)):
        return False
    names_provisioned = "scim_external_id" in read_spec(version.spec).claims
    is_unconfirmed = names_provisioned and has_unconfirmed_id(link.user_id, tenant_id=version.tenant_id)
    return provider.current_version_id == version.id and not is_unconfirmed


def person_provisioned_as(identity: Identity, spec: ProviderSpec, *, tenant_id: uuid.UUID) -> ProvisionedPerson | None:
    """Return the person whom a provisioning client added, or None if the provider does not sign in such people only.

    Raise `IdentityNotProvisioned` if the account names none, `IdentityLinkSuspended` if its external id is not
    confirmed.
    """
    if "scim_external_id" not in spec.claims:
        return None
    found = provisioned_person(identity.external_id, tenant_id=tenant_id)
    if found is None:
        raise errors.IdentityNotProvisioned
    return found


def _create(
    identity: Identity,
    provider: IdentityProvider,
    version: IdentityProviderVersion,
    spec: ProviderSpec,
    *,
    ctx: ActingContext,
) -> IdentityLink:
    """Create account, membership and link. Raise `IdentityNotLinked` if the provider does not create accounts.

    The account depends on the `sole_authors` of the version, who can sign in as anybody there. Without them it is left
    to its person.
    """
    if not spec.create_accounts:
        raise errors.IdentityNotLinked
    person = User.objects.create(
        username=free_name(identity.email or identity.name),
        kind=PrincipalKind.HUMAN.value,
        display_name=identity.name,
        email=identity.email,
        password=make_password(None),
    )
    record(Entry(kind="principal.created", inputs={"principal": person.public_id, "kind": person.kind}), ctx=ctx)
    Membership.objects.create(tenant_id=ctx.tenant_id, user=person, accepted_at=clock.now())
    by = next(iter(sole_authors(version)), None)
    record_grants([person.id], GrantKind.MEMBER, source=provider.slug, by=by, ctx=ctx)
    record(Entry(kind="member.added", inputs={"principal": person.public_id, "provider": provider.slug}), ctx=ctx)
    return _link(person, identity, provider, version, ctx=ctx)


def _link(
    person: User,
    identity: Identity,
    provider: IdentityProvider,
    version: IdentityProviderVersion,
    *,
    ctx: ActingContext,
) -> IdentityLink:
    """Create a link. The account depends on the `sole_authors` of the version of the provider."""
    for author in sole_authors(version):
        record_dependence(person, DependenceReason.CREATED, on=author, ctx=ctx)
    link = IdentityLink.objects.create(
        tenant_id=ctx.tenant_id, provider=provider, user=person, issuer=identity.issuer, subject=identity.subject
    )
    inputs = {"principal": person.public_id, "provider": provider.slug, "link": link.public_id}
    record(Entry(kind="identity.linked", inputs=inputs, outcome={"issuer": identity.issuer}), ctx=ctx)
    return link


def free_name(told: str) -> str:
    """Return a new user name made from a mail address or name.

    It always has a random part, so that it does not tell which names other tenants use.
    """
    plain = unicodedata.normalize("NFKD", told.partition("@")[0]).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "person"
    return f"{base}-{''.join(secrets.choice(_SUFFIX_LETTERS) for _ in range(8))}"


def _email(value: Any) -> str:
    """Return a valid mail address, or "". It is never a reason to link somebody."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > 254:
        return ""
    try:
        validate_email(value)
    except ValidationError:
        return ""
    return value


def _external_id(value: Any) -> str:
    """Return an external id, or "". It is never cut: the beginning may be that of somebody else."""
    return value.strip() if isinstance(value, str) and value.isprintable() and len(value) <= _MOST_SUBJECT else ""


def _text(value: Any) -> str:
    return value.strip()[:200] if isinstance(value, str) and value.isprintable() else ""
