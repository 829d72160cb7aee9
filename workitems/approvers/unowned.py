"""Names of the agents and services whose owner must be named before anybody can decide a step."""

from __future__ import annotations

from django.db.models import Q

from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.models import User
from workitems.approvers.step_votes import StepVotes


def names_without_owner(votes: StepVotes) -> tuple[str, ...]:
    """Return the excluded agents and services of unknown control, and those that excluded people depend on.

    Runs one statement, none if everybody is known.
    """
    unknown = votes.unknown_excluded
    if not unknown:
        return ()
    makers = AccountDependence.objects.filter(tenant_id=votes.step.tenant_id, user_id__in=unknown, ended_at=None)
    machines = User.objects.exclude(kind=PrincipalKind.HUMAN.value).filter(
        Q(id__in=unknown) | Q(id__in=makers.values("depends_on_id"))
    )
    return tuple(machines.order_by("username").values_list("username", flat=True))
