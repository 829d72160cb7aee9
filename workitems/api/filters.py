"""Query parameters of the lists of work items, steps, delegations, messages and executions."""

from __future__ import annotations

import uuid
from typing import Any, Final

import django_filters
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db.models import BooleanField, Func, OuterRef, Q, QuerySet, Subquery, UUIDField, Value

from integrations.attempts.failures import FailureClass
from integrations.lifecycle import ExecutionStatus
from threada_site.api.filters import AnyOf, CreatedWindow, InstantFilter, PublicIdFilter, SlugFilter, SortFilter
from threada_site.kernel import clock, ids
from workitems.executions.dead_letters import only_dead_letters
from workitems.items.labels import metadata_label, risk_label, voter_label
from workitems.lifecycle import WORK_ITEM, StepKind, StepStatus, WorkItemStatus
from workitems.models import ItemLabel, Vote, WorkItem
from workitems.notices.rules import Channel, Event, MessageStatus
from workitems.search.query import LONGEST

_FEW: Final = 1_000
"""Work items whose ids a statement can contain."""
_ENTRY: Final = RegexValidator("=", "must be an entry of the form key=value, such as order=4711")


def _any_word(enumeration: Any, **more: Any) -> AnyOf:
    """Return the filter by one of several values of an enumeration."""
    return AnyOf(django_filters.ChoiceFilter(choices=[(word.value, word.value) for word in enumeration], **more))


def _any_id(prefix: str, field_name: str) -> AnyOf:
    """Return the filter by one of several ids."""
    return AnyOf(PublicIdFilter(field_name=field_name, prefix=prefix))


class WorkItemFilters(CreatedWindow):
    """The documented filters of work items. `q`: words, "phrases", -excluded words and beginnings of ids; all match.

    Parameters with several values may be repeated: one of the values matches. All entries of `metadata` must match.
    """

    q = django_filters.CharFilter(max_length=LONGEST, method="leave")
    channel_id = AnyOf(SlugFilter(field_name="channel"))
    workflow_id = AnyOf(SlugFilter(field_name="workflow"))
    status = _any_word(WorkItemStatus, field_name="status")
    external_ref = AnyOf(django_filters.CharFilter(field_name="external_ref", max_length=255))
    requester = _any_id(ids.PRINCIPAL, "requester_id")
    assignee = _any_id(ids.PRINCIPAL, "assignee_id")
    decided_by = AnyOf(PublicIdFilter(prefix=ids.PRINCIPAL), method="filter_decided_by")
    risk_flag = AnyOf(django_filters.CharFilter(max_length=64), method="filter_risk_flag")
    data_class = AnyOf(SlugFilter(field_name="data_class"))
    metadata = AnyOf(django_filters.CharFilter(max_length=541, validators=[_ENTRY]), method="filter_metadata")
    policy_version_id = _any_id(ids.POLICY_VERSION, "policy_version_id")
    updated_after = InstantFilter(field_name="updated_at", lookup_expr="gte")
    updated_before = InstantFilter(field_name="updated_at", lookup_expr="lt")
    sort = SortFilter({"created_at": "id", "updated_at": "updated_at"})
    nobody_can_decide = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_stuck")
    waits_for_requester = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_questioned")

    def filter_questioned(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return open work items with an open question to the requester. A partial index serves the query."""
        return queryset.filter(open_questions__gt=0).exclude(status__in=WORK_ITEM.ends)

    def leave(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return all rows: the view searches."""
        return queryset

    def filter_decided_by(self, queryset: QuerySet[Any], _name: str, value: list[Any]) -> QuerySet[Any]:
        """Return work items with a step on which one of the principals voted."""
        return _with_label(queryset, *map(voter_label, value))

    def filter_risk_flag(self, queryset: QuerySet[Any], _name: str, value: list[str]) -> QuerySet[Any]:
        return _with_label(queryset, *map(risk_label, value))

    def filter_metadata(self, queryset: QuerySet[Any], _name: str, value: list[str]) -> QuerySet[Any]:
        """Return work items with all these entries, each written as `key=value`."""
        for entry in value:
            key, _, text = entry.partition("=")
            queryset = _with_label(queryset, metadata_label(key, text))
        return queryset

    def filter_stuck(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        """Return work items whose pending step the members cannot complete. A partial index serves the query."""
        return queryset.filter(nobody_can_decide=True)


def _with_label(rows: QuerySet[Any], *labels: uuid.UUID) -> QuerySet[Any]:
    """Return the work items with one of `labels`."""
    return rows.filter(id__in=ItemLabel.objects.filter(label__in=labels).values("work_item_id"))


class DecisionStepFilters(CreatedWindow):
    """Filters of decision steps. `mine=true`: pending steps that the caller counts on (narrowed by the view).

    `policy_version_id`: one of the versions whose rules required the step.
    """

    work_item_id = _any_id(ids.WORK_ITEM, "work_item_id")
    channel_id = AnyOf(SlugFilter(), method="filter_channel")
    workflow_id = AnyOf(SlugFilter(field_name="workflow"))
    policy_version_id = AnyOf(PublicIdFilter(prefix=ids.POLICY_VERSION), method="filter_policy_version")
    kind = _any_word(StepKind, field_name="kind")
    status = _any_word(StepStatus, field_name="status")
    assignee = _any_id(ids.PRINCIPAL, "assignee_id")
    decided_by = AnyOf(PublicIdFilter(prefix=ids.PRINCIPAL), method="filter_decided_by")
    sort = SortFilter({"opened_at": "id", "urgent_at": "urgent_at"})
    mine = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="leave")

    def filter_channel(self, queryset: QuerySet[Any], _name: str, value: list[str]) -> QuerySet[Any]:
        """Return the steps of work items of these channels. Steps have no column for it.

        The index of steps by work item serves channels with few work items. For the others, the work item of each step
        is read in the order of the list: a join would read all work items of the channel.
        """
        few = list(WorkItem.objects.filter(channel__in=value).values_list("id", flat=True)[: _FEW + 1])
        if len(few) <= _FEW:
            return queryset.filter(work_item_id__in=few)
        channel = WorkItem.objects.filter(id=OuterRef("work_item_id")).values("channel")
        return queryset.alias(channel=Subquery(channel)).filter(channel__in=value)

    def filter_policy_version(self, queryset: QuerySet[Any], _name: str, value: list[uuid.UUID]) -> QuerySet[Any]:
        """Return the steps that a rule of one of these versions required.

        No index serves it: steps are read in the order of the list. The estimate of `&&` alone is too low, so that
        PostgreSQL would sort all steps of the tenant.
        """
        versions = Value(value, output_field=ArrayField(UUIDField()))
        template = "coalesce(%(expressions)s, false)"
        required = Func(
            "policy_version_ids", versions, template=template, arg_joiner=" && ", output_field=BooleanField()
        )
        return queryset.alias(is_required=required).filter(is_required=True)

    def filter_decided_by(self, queryset: QuerySet[Any], _name: str, value: list[Any]) -> QuerySet[Any]:
        return queryset.filter(id__in=Vote.objects.filter(voter_id__in=value).values("step_id"))

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
    """Filters of executions. `dead_letter=true`: executions that failed for good and were not retried.

    `undo`: executions that end by themselves (`due`), or that should have ended (`overdue`).
    """

    work_item_id = _any_id(ids.WORK_ITEM, "work_item_id")
    channel_id = AnyOf(SlugFilter(field_name="channel"))
    workflow_id = AnyOf(SlugFilter(field_name="workflow"))
    integration_id = AnyOf(SlugFilter(field_name="integration"))
    status = _any_word(ExecutionStatus, field_name="status")
    policy_version_id = _any_id(ids.POLICY_VERSION, "policy_version_id")
    action_id = AnyOf(SlugFilter(field_name="action"))
    failure = _any_word(FailureClass, field_name="failure")
    requested_by = _any_id(ids.PRINCIPAL, "requested_by")
    sort = SortFilter({"created_at": "id"})
    undo = django_filters.ChoiceFilter(choices=[("due", "due"), ("overdue", "overdue")], method="filter_undo")
    dead_letter = django_filters.ChoiceFilter(choices=[("true", "true")], method="filter_dead_letters")

    def filter_undo(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Return executions whose undo is still to come, or whose time for it has passed. A partial index serves it."""
        rows = queryset.filter(undo_due_at__isnull=False)
        return rows.filter(undo_due_at__lte=clock.now()) if value == "overdue" else rows

    def filter_dead_letters(self, queryset: QuerySet[Any], _name: str, _value: str) -> QuerySet[Any]:
        return only_dead_letters(queryset)
