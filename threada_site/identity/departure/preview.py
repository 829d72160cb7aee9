"""What would end with a membership, counted before it ends."""

from __future__ import annotations

from django.db.models import Q

from threada_site.identity.console_sessions.ending import sessions_acting_in
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import Credential, IdentityLink, User


def ends_with_membership(person: User, *, ctx: ActingContext) -> dict[str, int]:
    """Return noun → number of what would end, without the work of other applications."""
    here = {"tenant_id": ctx.tenant_id}
    links = AccountLink.objects.filter(**here, used_at=None, withdrawn_at=None, expires_at__gt=clock.now())
    return {
        "session": sessions_acting_in(person, tenant_id=ctx.tenant_id).count(),
        "token": Credential.objects.filter(**here, user=person, revoked_at=None).count(),
        "identity provider account": IdentityLink.objects.filter(**here, user=person, ended_at=None).count(),
        "open link": links.filter(Q(user=person) | Q(created_by=person.id)).count(),
        "open change set": ChangeSet.objects.filter(
            **here, proposed_by=person.id, status=ChangeSetStatus.PROPOSED
        ).count(),
    }
