"""Principals with a part in a case: those who requested something, and the owners of agents and services."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet

from integrations.models import Execution
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import Membership
from workitems.models import WorkItem


def requesters_of(item: WorkItem, requested_by: uuid.UUID | None = None) -> frozenset[uuid.UUID]:
    """Return the submitter, the named requester and, if given, the principal that requested an action."""
    return frozenset({item.requester_id, item.submitted_by_id, *([requested_by] if requested_by else ())})


def owners_of(principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return the owners of those of `principals` that are agents or services."""
    return frozenset(owner_rows(principals, tenant_id=tenant_id))


def owner_rows(principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> QuerySet[Any, uuid.UUID]:
    """Return the rows of `owners_of`, to be read together with others."""
    rows = Membership.objects.filter(tenant_id=tenant_id, user_id__in=principals, owner__isnull=False)
    return rows.values_list("owner_id", flat=True)


def check_had_no_part(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    """Raise an error unless a person acts who neither requested the execution nor owns the agent that did.

    The person must also be independent of those who did. Raises `PersonRequired` or `SecondPersonRequired`.
    """
    require_person("Only a person may state the outcome, one who had no part in requesting it.", ctx=ctx)
    requesters = requesters_of(item, execution.requested_by)
    parties = requesters | owners_of(requesters, tenant_id=item.tenant_id)
    if ctx.principal_id in parties:
        raise errors.SecondPersonRequired(
            "You requested this execution or own the agent or service that did. Another person must reconcile it."
        )
    if not is_independent_of(ctx.principal_id, parties, tenant_id=item.tenant_id):
        raise errors.SecondPersonRequired(
            "Your account and that of somebody who requested this execution, or owns the agent or service that did, "
            "depend on each other or on one person. An independent person must reconcile it."
        )


def had_no_part(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> bool:
    """Return True if `check_had_no_part` passes."""
    try:
        check_had_no_part(item, execution, ctx=ctx)
    except (errors.PersonRequired, errors.SecondPersonRequired, errors.VoteAuthenticationRequired):
        return False
    return True
