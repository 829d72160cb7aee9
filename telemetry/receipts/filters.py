"""Documented filters of receipts, for events and exports."""

from __future__ import annotations

import uuid
from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from telemetry.models import AccountEvent
from threada_site.api.filters import AnyOf, InstantFilter, PublicIdFilter, SlugFilter, SortFilter, WholeNumberFilter
from threada_site.kernel import ids


def receipts_of_principal(rows: QuerySet[Any], principal_id: uuid.UUID) -> QuerySet[Any]:
    """Return those of `rows` that are about the account of a principal, or that record what the principal did."""
    about = AccountEvent.objects.filter(principal_id=principal_id).values("receipt_id")
    return rows.filter(Q(actor_id=principal_id) | Q(id__in=about))


class ReceiptFilters(django_filters.FilterSet):
    """Filters by channel, workflow, status, policy version, integration, work item, principal and kind.

    The service applies the window.
    """

    channel_id = SlugFilter(field_name="channel")
    workflow_id = SlugFilter(field_name="workflow")
    status = django_filters.CharFilter(field_name="status", max_length=32)
    policy_version_id = PublicIdFilter(field_name="policy_version_id", prefix=ids.POLICY_VERSION)
    integration_id = SlugFilter(field_name="integration")
    work_item_id = PublicIdFilter(field_name="work_item_id", prefix=ids.WORK_ITEM)
    principal_id = PublicIdFilter(method="of_principal", prefix=ids.PRINCIPAL)
    kind = django_filters.CharFilter(field_name="kind", max_length=64)
    created_after = InstantFilter(method="leave")
    created_before = InstantFilter(method="leave")

    def of_principal(self, queryset: QuerySet[Any], _name: str, value: uuid.UUID) -> QuerySet[Any]:
        return receipts_of_principal(queryset, value)

    def leave(self, queryset: QuerySet[Any], _name: str, _value: Any) -> QuerySet[Any]:
        return queryset


class EventFilters(ReceiptFilters):
    """Filters of the list of events: parameters with several values may be repeated."""

    channel_id = AnyOf(SlugFilter(field_name="channel"))
    workflow_id = AnyOf(SlugFilter(field_name="workflow"))
    status = AnyOf(django_filters.CharFilter(field_name="status", max_length=32))
    integration_id = AnyOf(SlugFilter(field_name="integration"))
    work_item_id = AnyOf(PublicIdFilter(field_name="work_item_id", prefix=ids.WORK_ITEM))
    kind = AnyOf(django_filters.CharFilter(field_name="kind", max_length=64))
    sort = SortFilter({"created_at": "id"})


class InstanceLogFilters(django_filters.FilterSet):
    """Filter `since`: the number of leaves of an older instance log."""

    since = WholeNumberFilter(field_name="size", lookup_expr="gte")
