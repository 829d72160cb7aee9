"""Query parameters of the rulebook's lists."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from policies import selectors
from policies.lifecycle import PolicyVersionStatus, ReplayStatus, ShadowStatus
from threada_site.api.filters import CreatedWindow, InstantFilter, SlugFilter
from threada_site.kernel import clock


class PolicyVersionFilters(CreatedWindow):
    """Filters of one policy's versions."""

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in PolicyVersionStatus])


class OverlayFilters(CreatedWindow):
    """Filters of overlays. `workflow_id`, `channel_id` and `group_id` find those of exactly that scope."""

    policy_id = SlugFilter(field_name="policy__slug")
    workflow_id = SlugFilter(method="filter_scope")
    channel_id = SlugFilter(method="filter_scope")
    group_id = SlugFilter(method="filter_scope")

    def filter_scope(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(scope_kind=name.removesuffix("_id"), scope_slug=value)


class EffectiveFilters(django_filters.FilterSet):
    """Which work items are meant: those of a workflow; of a channel and for requesters of groups, where named."""

    workflow_id = SlugFilter(required=True)
    channel_id = SlugFilter()
    group_id = django_filters.CharFilter(
        max_length=1000, label="The requester's groups, with a comma between them; absent: none."
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
    """The groups in a query parameter, each once."""
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
    """In which form a report is wanted."""

    format = django_filters.ChoiceFilter(
        choices=[("json", "json"), ("html", "html")], method="filter_nothing", label="`json` unless said."
    )

    def filter_nothing(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        return queryset
