"""Ids by which a tenant knows its members.

The name of a person is one of the instance, so somebody who is invited may have an account elsewhere. Until the person
accepts, nothing in the tenant tells: answers, receipts and change sets name the invitation, not the account.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from threada_site.kernel import ids
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Membership, User


def known_as(principal: User, *, tenant_id: uuid.UUID) -> str:
    """Return the public id by which the tenant knows a principal: that of the invitation until it is accepted."""
    invited = invitations_of([principal.id], tenant_id=tenant_id)
    return ids.public_id(ids.ACCOUNT_LINK, invited[principal.id]) if principal.id in invited else principal.public_id


def known_ids(principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Return `known_as` of each of `principals`. Runs one statement."""
    invited = invitations_of(principals, tenant_id=tenant_id)
    return {
        one: ids.public_id(ids.ACCOUNT_LINK, invited[one]) if one in invited else ids.public_id(ids.PRINCIPAL, one)
        for one in principals
    }


def invitations_of(principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> dict[uuid.UUID, uuid.UUID]:
    """Return the first invitation to the membership of each of `principals` who has not accepted it.

    The first one stays the name if the person is invited again.
    """
    rows = Membership.objects.filter(tenant_id=tenant_id, user_id__in=list(principals), accepted_at=None)
    waiting = dict(rows.values_list("user_id", "created_at"))
    if not waiting:
        return {}
    links = AccountLink.objects.filter(tenant_id=tenant_id, user_id__in=waiting, purpose=LinkPurpose.INVITATION)
    found = links.order_by("-id").values_list("user_id", "id", "created_at")
    return {person: link for person, link, created_at in found if created_at >= waiting[person]}


def member_named(public_id: str, *, tenant_id: uuid.UUID) -> uuid.UUID | None:
    """Return the member whom the tenant knows by this public id, or None.

    An invitation names its person also after it was accepted; the id of an account does only then.
    """
    members = Membership.objects.filter(tenant_id=tenant_id)
    principal = ids.parse_public_id(ids.PRINCIPAL, public_id)
    if principal is not None:
        return members.filter(user_id=principal, accepted_at__isnull=False).values_list("user_id", flat=True).first()
    link = ids.parse_public_id(ids.ACCOUNT_LINK, public_id)
    if link is None:
        return None
    invited = AccountLink.objects.filter(tenant_id=tenant_id, id=link, purpose=LinkPurpose.INVITATION)
    return members.filter(user_id__in=invited.values("user_id")).values_list("user_id", flat=True).first()


def with_known_ids(people: Iterable[User], *, tenant_id: uuid.UUID) -> list[User]:
    """Return principals, each with the id by which the tenant knows it as the attribute `known_as`."""
    found = list(people)
    named = known_ids([person.id for person in found], tenant_id=tenant_id)
    for person in found:
        person.known_as = named[person.id]  # type: ignore[attr-defined]
    return found
