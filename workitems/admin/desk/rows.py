"""List of the steps that the reader can decide: filters, columns, orders and rows, for the desk and its download."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final

import django_filters
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from integrations.freezes.block import freeze_on
from integrations.models import Freeze
from policies.models import PolicyDecision
from threada_site.admin import html
from threada_site.admin.lists import Column, ListFilter, ListPage, list_page
from threada_site.api.filters import SlugFilter
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.admin.filters import workflow_choices
from workitems.admin.list_views import register_list
from workitems.admin.preview import previews_of
from workitems.items.questions import question_of
from workitems.items.titles import listed_title
from workitems.lifecycle import StepKind
from workitems.models import NEVER, DecisionStep, Vote
from workitems.steps.frozen_steps import place_of

ORDER: Final = "urgent_at,id"
PER_PAGE: Final = 50
_WITHIN: Final = {"overdue": timedelta(), "day": timedelta(days=1), "week": timedelta(days=7)}


@dataclass(frozen=True)
class DeskRow:
    """One step as the desk shows it."""

    step: DecisionStep
    title: str
    url: str
    preview: list[tuple[str, str]]
    approvals: int
    is_overdue: bool
    has_deadline: bool
    claimed_by_other: str
    is_frozen: bool
    further: tuple[tuple[Any, Any], ...] = ()
    """Titles and values of selected columns that have no place of their own."""

    @property
    def choice(self) -> str:
        """Return the value of the checkbox: the step and the envelope that was shown."""
        return f"{self.step.public_id}:{self.step.envelope_sha256}"

    @property
    def contents(self) -> str:
        return "; ".join(f"{name} {value}" for name, value in self.preview)


class DeskFilters(django_filters.FilterSet):
    """Filters of the desk. `together`: steps that one batch can decide."""

    workflow_id = SlugFilter(field_name="workflow")
    kind = django_filters.ChoiceFilter(choices=[(kind.value, kind.value) for kind in StepKind])
    due = django_filters.ChoiceFilter(choices=[(name, name) for name in (*_WITHIN, "none")], method="filter_due")
    risk = django_filters.ChoiceFilter(choices=[(name, name) for name in ("flagged", "plain")], method="filter_risk")
    claimed = django_filters.ChoiceFilter(choices=[(name, name) for name in ("me", "free")], method="filter_claimed")
    together = django_filters.CharFilter(field_name="batch_key", max_length=80)

    def __init__(self, *args: Any, ctx: ActingContext, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ctx = ctx

    def filter_due(self, rows: QuerySet[DecisionStep], _name: str, value: str) -> QuerySet[DecisionStep]:
        if value == "none":
            return rows.filter(urgent_at=NEVER)
        return rows.filter(urgent_at__lte=clock.now() + _WITHIN[value])

    def filter_risk(self, rows: QuerySet[DecisionStep], _name: str, value: str) -> QuerySet[DecisionStep]:
        return rows.filter(is_flagged=value == "flagged")

    def filter_claimed(self, rows: QuerySet[DecisionStep], _name: str, value: str) -> QuerySet[DecisionStep]:
        if value == "me":
            return rows.filter(claimed_by_id=self.ctx.principal_id, claimed_until__gt=clock.now())
        return rows.filter(Q(claimed_by=None) | Q(claimed_until__lte=clock.now()))


class Desk:
    """The desk among the lists that have saved views."""

    scope: ClassVar[Scope] = Scope.WORKITEMS_READ
    filters: ClassVar[tuple[ListFilter, ...]] = (
        ListFilter("workflow_id", gettext_lazy("Workflow"), choices=workflow_choices),
        ListFilter("kind", gettext_lazy("Kind"), choices=lambda _ctx: [(kind.value, kind.value) for kind in StepKind]),
        ListFilter(
            "due",
            gettext_lazy("Due"),
            choices=lambda _ctx: [
                ("overdue", gettext("overdue")),
                ("day", gettext("in 24 hours")),
                ("week", gettext("in 7 days")),
                ("none", gettext("no deadline")),
            ],
        ),
        ListFilter(
            "risk",
            gettext_lazy("Risk"),
            choices=lambda _ctx: [("flagged", gettext("with risk flags")), ("plain", gettext("without"))],
        ),
        ListFilter(
            "claimed",
            gettext_lazy("Claimed"),
            choices=lambda _ctx: [("me", gettext("by me")), ("free", gettext("by nobody"))],
        ),
        ListFilter("together", "", "text"),
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(gettext_lazy("Title"), lambda row: row.title, name="title"),
        Column(gettext_lazy("Decision"), lambda row: question_of(row.step), name="decision"),
        Column(gettext_lazy("Contents"), lambda row: row.contents, name="contents"),
        Column(gettext_lazy("Requester"), lambda row: row.step.work_item.requester, name="requester"),
        Column(gettext_lazy("Opened"), lambda row: html.when(row.step.opened_at), name="opened", sort="id"),
        Column(gettext_lazy("Approvals"), lambda row: row.approvals, name="approvals"),
        Column(gettext_lazy("Claimed"), lambda row: row.claimed_by_other, name="claimed"),
        Column(gettext_lazy("Risk"), lambda row: html.tags(row.step.work_item.risk_flags) or html.NOTHING, name="risk"),
        Column(
            gettext_lazy("Until"),
            lambda row: html.when(row.step.urgent_at) if row.has_deadline else html.NOTHING,
            name="until",
            sort="urgent_at",
        ),
        Column(gettext_lazy("Workflow"), lambda row: row.step.workflow, is_extra=True, name="workflow"),
        Column(gettext_lazy("Kind"), lambda row: row.step.kind, is_extra=True, name="kind"),
        Column(gettext_lazy("Assignee"), lambda row: row.step.assignee or html.NOTHING, is_extra=True, name="assignee"),
        Column(gettext_lazy("Id"), lambda row: row.step.public_id, is_extra=True, name="id"),
    )

    def list_url(self) -> str:
        return reverse("admin:workitems_decisionstep_desk")


DESK: Final = Desk()
register_list("desk", DESK)


def desk_list(
    query: QueryDict,
    *,
    ctx: ActingContext,
    freezes: QuerySet[Freeze] | None = None,
    most: int | None = None,
    beside: Iterable[QuerySet[Any]] = (),
) -> ListPage:
    """Return the page of `DeskRow`s that `query` requests, most urgent first unless it is sorted otherwise.

    Rows are marked that one of `freezes` covers. The querysets `beside` the list are evaluated with its filters.
    """
    mine = _with_approvals_and_rules(selectors.steps_pending_for(ctx, selectors.decision_steps(ctx)))
    page = list_page(
        mine.select_related("execution", "claimed_by", "assignee", "work_item__requester").defer(
            "work_item__payload", "work_item__payload_salt"
        ),
        _without_search(query),
        ctx=ctx,
        filters=DESK.filters,
        filterset=partial(DeskFilters, ctx=ctx),
        search=lambda rows, _text: rows,
        key=ORDER,
        columns=DESK.columns,
        most=most or PER_PAGE,
        beside=beside if freezes is None else (freezes, *beside),
    )
    further = [column for column in page.columns if column.is_extra]
    rows = _rows(page.rows, () if freezes is None else freezes, ctx=ctx)
    if further:
        rows = [replace(row, further=tuple((column.title, column.value(row)) for column in further)) for row in rows]
    return replace(page, rows=rows)


def _without_search(query: QueryDict) -> QueryDict:
    others = query.copy()
    others.pop("q", None)
    return others


def _rows(steps: list[DecisionStep], freezes: Iterable[Freeze], *, ctx: ActingContext) -> list[DeskRow]:
    if not steps:
        return []
    previews = previews_of([step.work_item_id for step in steps], ctx=ctx)
    now = clock.now()
    return [_row(step, previews, freezes, now=now, ctx=ctx) for step in steps]


def _row(
    step: DecisionStep,
    previews: Mapping[uuid.UUID, list[tuple[str, str]]],
    freezes: Iterable[Freeze],
    *,
    now: datetime,
    ctx: ActingContext,
) -> DeskRow:
    is_claimed = step.claimant_at(now) not in (None, ctx.principal_id)
    return DeskRow(
        step=step,
        title=listed_title(step.work_item),
        url=reverse("admin:workitems_decisionstep_change", args=[step.public_id]),
        preview=previews.get(step.work_item_id, []),
        approvals=step.approvals,  # type: ignore[attr-defined]
        is_overdue=step.urgent_at <= now and step.paused_at is None,
        has_deadline=step.urgent_at < NEVER,
        claimed_by_other=str(step.claimed_by) if is_claimed else "",
        is_frozen=freeze_on(freezes, place_of(step)) is not None,
    )


def _with_approvals_and_rules(steps: QuerySet[DecisionStep]) -> QuerySet[DecisionStep]:
    """Annotate steps with the number of their counted approvals, and with what matched in their policy decision."""
    given = Vote.objects.filter(tenant_id=OuterRef("tenant_id"), step_id=OuterRef("id"), counted=True)
    decisions = PolicyDecision.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("policy_decision_id"))
    counted = given.filter(decision="approve").order_by().values("step_id").annotate(number=Count("id"))
    return steps.annotate(
        approvals=Coalesce(Subquery(counted.values("number")), 0), matched=Subquery(decisions.values("matched")[:1])
    )
