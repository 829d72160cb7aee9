"""Documented filters of the summary."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import django_filters
from django.db.models import QuerySet

from telemetry.summary.metrics import DIMENSIONS
from threada_site.api.filters import InstantFilter, PublicIdFilter, SlugFilter
from threada_site.kernel import ids


class SummaryFilters(django_filters.FilterSet):
    """Filters of the summary counts. The service applies the window and the grouping."""

    channel_id = SlugFilter(field_name="channel")
    workflow_id = SlugFilter(field_name="workflow")
    policy_version_id = PublicIdFilter(field_name="policy_version_id", prefix=ids.POLICY_VERSION)
    integration_id = SlugFilter(field_name="integration")
    group_by = django_filters.ChoiceFilter(choices=[(name, name) for name in DIMENSIONS], method="leave")
    created_after = InstantFilter(method="leave")
    created_before = InstantFilter(method="leave")

    def leave(self, queryset: QuerySet[Any], _name: str, _value: Any) -> QuerySet[Any]:
        return queryset


_DIMENSIONS: Final = {
    "channel_id": "channel",
    "workflow_id": "workflow",
    "policy_version_id": "policy_version",
    "integration_id": "integration",
}


def chosen_dimensions(bound: SummaryFilters) -> Mapping[str, str] | None:
    """Return the requested value of each dimension, as stored in the counts, or None if a filter is invalid."""
    if not bound.is_valid():
        return None
    asked = bound.form.cleaned_data
    return {dimension: _held(asked[name]) for name, dimension in _DIMENSIONS.items() if asked.get(name)}


def _held(value: Any) -> str:
    return str(value) if isinstance(value, uuid.UUID) else value
