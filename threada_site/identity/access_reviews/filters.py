"""Filters of the list of access: holders that a reviewer looks at first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import django_filters
from django.db.models import Exists, OuterRef, Q, QuerySet
from guardian.models import GroupObjectPermission

from threada_site.kernel import clock
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.authority_models import GrantKind, GrantRecord
from threada_site.tenancy.models import ConsoleSession, Credential, Membership

UNUSED: Final = timedelta(days=90)
CONCERNS: Final = ("unused", "manages", "never_signed_in", "owner_left")
"""`unused`: not used for 90 days, and a member for as long. `manages`: holds workflow:manage."""


class HolderFilters(django_filters.FilterSet):
    """Query parameters of the list."""

    kind = django_filters.ChoiceFilter(field_name="user__kind", choices=[(kind, kind) for kind in PrincipalKind])
    concern = django_filters.ChoiceFilter(choices=[(name, name) for name in CONCERNS], method="with_concern")

    def with_concern(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Keep the holders of one of the `CONCERNS` groups."""
        return rows.filter(_condition(value))


def _condition(value: str) -> Q:
    since = clock.now() - UNUSED
    if value == "unused":
        recent = Credential.objects.filter(
            tenant_id=OuterRef("tenant_id"), user_id=OuterRef("user_id"), last_used_at__gte=since
        )
        sessions = ConsoleSession.objects.filter(
            user_id=OuterRef("user_id"), acting_tenant_id=OuterRef("tenant_id"), last_used_at__gte=since
        )
        signed_in = Q(user__last_login__isnull=False, user__last_login__gte=since)
        return Q(created_at__lt=since) & ~signed_in & Q(~Exists(recent)) & Q(~Exists(sessions))
    if value == "manages":
        return _manages()
    if value == "never_signed_in":
        return Q(user__kind=PrincipalKind.HUMAN, user__last_login=None)
    owners = Membership.objects.filter(tenant_id=OuterRef("tenant_id"), user_id=OuterRef("owner_id"))
    has_owner = Q(Exists(owners.filter(user__is_active=True)))
    return ~Q(user__kind=PrincipalKind.HUMAN) & (Q(owner_id=None) | ~has_owner)


def _manages() -> Q:
    codename = Scope.WORKFLOW_MANAGE.codename
    through_role = GroupObjectPermission.objects.filter(
        group__user=OuterRef("user_id"), group__role__tenant_id=OuterRef("tenant_id"), permission__codename=codename
    )
    on_object = GrantRecord.objects.filter(
        tenant_id=OuterRef("tenant_id"),
        user_id=OuterRef("user_id"),
        kind=GrantKind.SCOPE,
        name__startswith=f"{Scope.WORKFLOW_MANAGE.value}@",
    )
    return Q(Exists(through_role)) | Q(Exists(on_object))
