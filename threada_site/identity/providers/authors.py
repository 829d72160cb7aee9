"""Authors of identity providers: stewards who can name anybody there, so that accounts and links depend on them."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import QuerySet

from threada_site.identity.providers.documents import read_spec
from threada_site.tenancy.models import IdentityProviderVersion


def sole_authors(version: IdentityProviderVersion) -> list[uuid.UUID]:
    """Return the stewards who alone wrote this version or an earlier one whose identity it keeps, newest first.

    A later version by two stewards or the operator removes no author: it confirms what it changes, not what it keeps.
    """
    spec, found = read_spec(version.spec), dict[uuid.UUID, None]()
    alone = _versions(version).filter(number__lte=version.number, proposed_by=None, created_by__isnull=False)
    for earlier in alone.order_by("-number"):
        author = earlier.created_by
        if author is not None and author not in found and spec.keeps_identity_of(read_spec(earlier.spec)):
            found[author] = None
    return list(found)


def authors_since(since: datetime, version: IdentityProviderVersion) -> set[uuid.UUID | None]:
    """Return who proposed the version that was the current one at `since`, and each later one; None for the operator.

    `sole_authors` of `version` are among them.
    """
    then = _versions(version).filter(created_at__lte=since).order_by("-created_at").first()
    rows = _versions(version).filter(number__gte=then.number if then else 0)
    written = {proposer or author for proposer, author in rows.values_list("proposed_by", "created_by")}
    return {*written, *sole_authors(version)}


def _versions(version: IdentityProviderVersion) -> QuerySet[IdentityProviderVersion]:
    return IdentityProviderVersion.objects.filter(tenant_id=version.tenant_id, provider_id=version.provider_id)
