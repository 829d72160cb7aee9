"""Roles that an identity provider gives, which nobody gives or withdraws by hand."""

from __future__ import annotations

from collections.abc import Collection

from threada_site.identity.providers.documents import read_spec
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind, GrantRecord
from threada_site.tenancy.models import IdentityProvider, User


def check_not_from_provider(person: User, roles: Collection[str], *, ctx: ActingContext) -> None:
    """Raise `RoleFromProvider` if an identity provider gave one of `roles` to a person, or may give it."""
    given = GrantRecord.objects.filter(
        tenant_id=ctx.tenant_id, user=person, kind=GrantKind.ROLE, name__in=list(roles)
    ).exclude(source="")
    found = dict(given.values_list("name", "source"))
    linked = IdentityProvider.objects.filter(
        tenant_id=ctx.tenant_id, links__user=person, links__unlinked_at=None, current_version__isnull=False
    )
    for provider in linked.select_related("current_version").distinct():
        assert provider.current_version is not None  # noqa: S101 - filtered above
        mapped = read_spec(provider.current_version.spec).all_roles
        found |= {role: provider.slug for role in roles if role in mapped}
    if found:
        role, provider_slug = min(found.items())
        raise errors.RoleFromProvider(
            f"The identity provider {provider_slug} gives the role {role} to {person.username}. Change the groups of "
            "the person there.",
            errors=[
                FieldError("/roles", f"{name} comes from {source}", "role_from_provider")
                for name, source in sorted(found.items())
            ],
        )
