"""Counts of sessions, tokens and links that would end with a membership."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Q, QuerySet, Value

from threada_site.identity.console_sessions.ending import sessions_acting_in
from threada_site.identity.known_as import member_named
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import ConsoleSession, Credential, IdentityLink, User


def ends_with_membership(person: User, *, ctx: ActingContext) -> dict[str, int]:
    """Return noun → number of what would end, without the work of other applications. One statement."""
    here = {"tenant_id": ctx.tenant_id}
    links = AccountLink.objects.filter(**here, used_at=None, withdrawn_at=None, expires_at__gt=clock.now())
    ends: dict[str, QuerySet[Any]] = {
        "session": sessions_acting_in(person, tenant_id=ctx.tenant_id)
        if member_named(person.public_id, tenant_id=ctx.tenant_id)
        else ConsoleSession.objects.none(),
        "token": Credential.objects.filter(**here, user=person, revoked_at=None),
        "identity provider account": IdentityLink.objects.filter(**here, user=person, ended_at=None),
        "open link": links.filter(Q(user=person) | Q(created_by=person.id)),
        "open change set": ChangeSet.objects.filter(**here, proposed_by=person.id, status=ChangeSetStatus.PROPOSED),
    }
    first, *others = (rows.order_by().values_list(Value(noun)) for noun, rows in ends.items())
    found = Counter(noun for (noun,) in first.union(*others, all=True))
    return {noun: found[noun] for noun in ends}
