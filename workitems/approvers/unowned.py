"""Names of the agents and services whose owner must be named before anybody can decide a step."""

from __future__ import annotations

from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.models import Membership, User
from workitems.approvers.step_votes import StepVotes


def names_without_owner(votes: StepVotes) -> tuple[str, ...]:
    """Return the agents and services of unknown control that are excluded, or made or added an excluded principal.

    Runs one statement, none if everybody is known.
    """
    unknown = votes.unknown_excluded
    if not unknown:
        return ()
    here = {"tenant_id": votes.step.tenant_id, "user_id__in": unknown}
    makers = AccountDependence.objects.filter(**here, ended_at=None).values("depends_on_id")
    adders = Membership.objects.filter(**here).values("added_by")
    is_unknown = RawSQL(
        "threada_controllers(tenancy_user.id, %s) IS NULL", [votes.step.tenant_id], output_field=BooleanField()
    )
    machines = User.objects.filter(
        is_unknown, Q(id__in=unknown) | Q(id__in=makers) | Q(id__in=adders), home_tenant__isnull=False
    )
    return tuple(machines.order_by("username").values_list("username", flat=True))
