"""Query parameters of the lists of work items, steps, delegations, messages and executions."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from integrations.attempts.failures import FailureClass
from integrations.lifecycle import ExecutionStatus
from threada_site.api.filters import CreatedWindow, PublicIdFilter, SlugFilter
from threada_site.kernel import clock, ids
from workitems.executions.dead_letters import only_dead_letters
from workitems.lifecycle import WORK_ITEM, StepKind, StepStatus, WorkItemStatus
from workitems.notices.rules import Channel, Event, MessageStatus
from workitems.search.query import LONGEST


class WorkItemFilters(CreatedWindow):
    """The documented filters of work items. `q`: words, "phrases", -excluded words and beginnings of ids; all match."""

    q = django_filters.CharFilter(max_length=LONGEST, method="leave")
    channel_id = SlugFilter(field_name="channel")
    workflow_id = SlugFilter(field_name="workflow")
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in WorkItemStatus])
    policy_version_id = PublicIdFilter(field_name="policy_version_id", prefix=ids.POLICY_VERSION)
    nobody_can_decide = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_stuck")
    waits_for_requester = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_questioned")

    def filter_questioned(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return open work items with an open question to the requester. A partial index serves the query."""
        return queryset.filter(open_questions__gt=0).exclude(status__in=WORK_ITEM.ends)

    def leave(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return all rows: the view searches."""
        return queryset

    def filter_stuck(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return work items whose pending step the members cannot complete. A partial index serves the query."""
        return queryset.filter(nobody_can_decide=True)


class DecisionStepFilters(CreatedWindow):
    """Filters of decision steps. `mine=true`: pending steps that the caller counts on (narrowed by the view)."""

    work_item_id = PublicIdFilter(field_name="work_item_id", prefix=ids.WORK_ITEM)
    workflow_id = SlugFilter(field_name="workflow")
    kind = django_filters.ChoiceFilter(choices=[(kind.value, kind.value) for kind in StepKind])
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in StepStatus])
    mine = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="leave")

    def leave(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        return queryset


class DelegationFilters(CreatedWindow):
    """Filters of delegations. `active=true`: delegations in force."""

    delegator = PublicIdFilter(field_name="delegator_id", prefix=ids.PRINCIPAL)
    delegate = PublicIdFilter(field_name="delegate_id", prefix=ids.PRINCIPAL)
    active = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="filter_active")

    def filter_active(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        now = clock.now()
        active = Q(starts_at__lte=now, ends_at__gt=now, consented_at__isnull=False)
        return queryset.filter(active) if value == "true" else queryset.exclude(active)


class NoticeMessageFilters(CreatedWindow):
    """Filters of notification messages."""

    event = django_filters.ChoiceFilter(
        field_name="notice__kind", choices=[(event.value, event.value) for event in Event]
    )
    channel = django_filters.ChoiceFilter(choices=[(channel.value, channel.value) for channel in Channel])
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in MessageStatus])


class ExecutionFilters(CreatedWindow):
    """Filters of executions. `dead_letter=true`: executions that failed for good and were not retried."""

    work_item_id = PublicIdFilter(field_name="work_item_id", prefix=ids.WORK_ITEM)
    channel_id = SlugFilter(field_name="channel")
    workflow_id = SlugFilter(field_name="workflow")
    integration_id = SlugFilter(field_name="integration")
    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in ExecutionStatus])
    policy_version_id = PublicIdFilter(field_name="policy_version_id", prefix=ids.POLICY_VERSION)
    action_id = SlugFilter(field_name="action")
    failure = django_filters.ChoiceFilter(choices=[(failure.value, failure.value) for failure in FailureClass])
    dead_letter = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_dead_letters")

    def filter_dead_letters(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        return only_dead_letters(queryset)
