"""Query parameters of the lists of the rulebook."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from policies import selectors
from policies.lifecycle import PolicyVersionStatus, ReplayStatus, ShadowStatus
from threada_site.api.filters import CreatedWindow, InstantFilter, SlugFilter
from threada_site.kernel import clock


class PolicyVersionFilters(CreatedWindow):
    """Filters of the versions of a policy."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in PolicyVersionStatus])


class OverlayFilters(CreatedWindow):
    """Filters of overlays. `workflow_id`, `channel_id` and `group_id` match exactly that scope."""

    policy_id = SlugFilter(field_name="policy__slug")
    workflow_id = SlugFilter(method="filter_scope")
    channel_id = SlugFilter(method="filter_scope")
    group_id = SlugFilter(method="filter_scope")

    def filter_scope(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(scope_kind=name.removesuffix("_id"), scope_slug=value)


class EffectiveFilters(django_filters.FilterSet):
    """Parameters of effective rules: workflow, and optional channel and groups of the requester."""

    workflow_id = SlugFilter(required=True)
    channel_id = SlugFilter()
    group_id = django_filters.CharFilter(
        max_length=1000, label="Groups of the requester, separated by commas; absent: none."
    )
    at = InstantFilter(label="When; absent: now.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        cleaned = self.form.cleaned_data
        return selectors.applying(
            queryset,
            workflow=cleaned["workflow_id"],
            channel=cleaned["channel_id"],
            groups=groups_named(cleaned["group_id"]),
            at=cleaned["at"] or clock.now(),
        )


def groups_named(text: str | None) -> list[str]:
    """Return the groups in a query parameter, without duplicates."""
    return list(dict.fromkeys(name for name in (text or "").split(",") if name))


class ReplayFilters(CreatedWindow):
    """Filters of replays."""

    policy_id = SlugFilter(field_name="policy__slug")
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in ReplayStatus])


class ShadowFilters(CreatedWindow):
    """Filters of shadows."""

    policy_id = SlugFilter(field_name="policy__slug")
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in ShadowStatus])


class ReportFilters(django_filters.FilterSet):
    """Format of a report."""

    format = django_filters.ChoiceFilter(
        choices=[("json", "json"), ("html", "html")], method="filter_nothing", label="`json` unless said."
    )

    def filter_nothing(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        return queryset
