"""Decision desk: the steps that the reader can decide, most urgent first, grouped by rule and action."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from integrations.freezes.block import freeze_on, freezes_in_force
from integrations.models import Freeze
from policies.models import PolicyDecision
from threada_site.admin.lists import ShownFilter
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.admin.filters import workflow_choices
from workitems.admin.preview import previews_of
from workitems.desk.models import NAME_LENGTH
from workitems.executions.freeze_states import freeze_notices
from workitems.items.questions import question_of
from workitems.items.titles import listed_title
from workitems.lifecycle import StepKind
from workitems.models import NEVER, DecisionStep, Vote
from workitems.steps.batch_limits import RiskLevel
from workitems.steps.batch_voting import cap_of, riskiest_of
from workitems.steps.frozen_steps import place_of

PER_PAGE: Final = 50
_AFTER: Final = "after"

type Narrow = Callable[[QuerySet[DecisionStep], str, ActingContext], QuerySet[DecisionStep]]


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

    @property
    def choice(self) -> str:
        """Return the value of the checkbox: the step and the envelope that was shown."""
        return f"{self.step.public_id}:{self.step.envelope_sha256}"


@dataclass(frozen=True)
class DeskGroup:
    """Steps on this page that share rule and action."""

    key: str
    question: str
    rules: list[str]
    reasons: list[str]
    rows: list[DeskRow]
    caps: list[tuple[str, int]]

    @property
    def is_batch(self) -> bool:
        """Return True if several steps of the group can be decided together."""
        return bool(self.key) and len(self.rows) > 1 and any(cap > 1 for _, cap in self.caps)


@dataclass(frozen=True)
class DeskView:
    """Saved view as the desk shows it."""

    name: str
    query: str
    is_shown: bool


def filters_in(query: QueryDict) -> dict[str, str]:
    """Return the filters that are set in the query."""
    sent = {name: query.get(name, "").strip()[:80] for name in _FILTERS}
    return {name: value for name, value in sent.items() if value}


def view_url(filters: Mapping[str, str]) -> str:
    """Return the URL of the desk with these filters."""
    return reverse("admin:workitems_decisionstep_desk") + _query(filters, "")


def desk_page(query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context: groups, filters, saved views, and the query of the next page."""
    sent = filters_in(query)
    rows = selectors.decision_steps(ctx)
    for name, value in sent.items():
        rows = _FILTERS[name](rows, value, ctx)
    steps = waiting_most_urgent_first(rows, ctx=ctx, after=query.get(_AFTER, ""), most=PER_PAGE + 1)
    shown = steps[:PER_PAGE]
    freezes = freezes_in_force(ctx.tenant_id)
    views = selectors.saved_views(ctx)
    further = _cursor(shown[-1]) if len(steps) > PER_PAGE else ""
    return {
        "groups": _groups(shown, freezes, ctx=ctx),
        "freezes": freeze_notices(freezes),
        "proposed_delegations": list(selectors.delegations_to_consent_to(ctx).order_by("id")[:PER_PAGE]),
        "is_empty": not shown,
        "filters": [
            ShownFilter(
                "workflow_id", gettext("Workflow"), "select", sent.get("workflow_id", ""), workflow_choices(ctx)
            ),
            *(ShownFilter(name, label, "select", sent.get(name, ""), choices) for name, label, choices in _CHOICES),
        ],
        "together": sent.get("together", ""),
        "is_filtered": bool(sent),
        "sent": sent,
        "views": [DeskView(view.name, _query(view.filters, ""), view.filters == sent) for view in views],
        "name_length": NAME_LENGTH,
        "further": _query(sent, further) if further else "",
        "is_further": bool(query.get(_AFTER)),
        "first": _query(sent, ""),
    }


def waiting_most_urgent_first(
    rows: QuerySet[DecisionStep], *, ctx: ActingContext, after: str = "", most: int
) -> list[DecisionStep]:
    """Return the steps of `rows` that the caller can decide, by deadline, then age, from the cursor `after` on."""
    position = _position(after)
    if position is not None:
        urgent_at, step_id = position
        rows = rows.filter(Q(urgent_at__gt=urgent_at) | Q(urgent_at=urgent_at, id__gt=step_id))
    mine = selectors.steps_pending_for(ctx, rows)
    return list(
        mine.select_related("execution", "claimed_by", "work_item__requester")
        .defer("work_item__payload", "work_item__payload_salt")
        .order_by("urgent_at", "id")[:most]
    )


def next_step(ctx: ActingContext, *, behind: uuid.UUID | None) -> DecisionStep | None:
    """Return the step after `behind` on the caller's desk, or the first one; None if no other step is pending."""
    waiting = waiting_most_urgent_first(selectors.decision_steps(ctx), ctx=ctx, most=PER_PAGE)
    place = next((place for place, step in enumerate(waiting) if step.id == behind), -1)
    return waiting[(place + 1) % len(waiting)] if waiting and waiting[(place + 1) % len(waiting)].id != behind else None


def _groups(steps: list[DecisionStep], freezes: Sequence[Freeze], *, ctx: ActingContext) -> list[DeskGroup]:
    """Return groups ordered by their most urgent step. A step without a key is its own group."""
    together: dict[str, list[DecisionStep]] = {}
    for step in steps:
        together.setdefault(step.batch_key or step.public_id, []).append(step)
    previews = previews_of([step.work_item_id for step in steps], ctx=ctx)
    approvals = _approvals(steps, ctx=ctx)
    rules = _rules(steps, ctx=ctx)
    now = clock.now()
    found = []
    for members in together.values():
        first = members[0]
        levels = {riskiest_of([step.work_item]) for step in members}
        found.append(
            DeskGroup(
                key=first.batch_key,
                question=question_of(first),
                rules=rules.get(first.policy_decision_id, []),
                reasons=first.reason_codes,
                rows=[_row(step, previews, approvals, freezes, now=now, ctx=ctx) for step in members],
                caps=[(level.value, cap_of(level)) for level in RiskLevel if level in levels],
            )
        )
    return found


def _row(
    step: DecisionStep,
    previews: Mapping[uuid.UUID, list[tuple[str, str]]],
    approvals: Mapping[uuid.UUID, int],
    freezes: Sequence[Freeze],
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
        approvals=approvals.get(step.id, 0),
        is_overdue=step.urgent_at <= now and step.paused_at is None,
        has_deadline=step.urgent_at < NEVER,
        claimed_by_other=str(step.claimed_by) if is_claimed else "",
        is_frozen=freeze_on(freezes, **place_of(step)) is not None,
    )


def _approvals(steps: list[DecisionStep], *, ctx: ActingContext) -> dict[uuid.UUID, int]:
    votes = Vote.objects.filter(tenant_id=ctx.tenant_id, step_id__in=[step.id for step in steps], counted=True)
    given = votes.filter(decision="approve").order_by().values("step_id").annotate(given=Count("id"))
    return dict(given.values_list("step_id", "given"))


def _rules(steps: list[DecisionStep], *, ctx: ActingContext) -> dict[uuid.UUID | None, list[str]]:
    asked = {step.policy_decision_id for step in steps if step.policy_decision_id is not None}
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id__in=asked).values_list("id", "matched")
    return {decision_id: [f"{rule['policy']} / {rule['rule']}" for rule in matched] for decision_id, matched in rows}


def _due(rows: QuerySet[DecisionStep], value: str, _ctx: ActingContext) -> QuerySet[DecisionStep]:
    now = clock.now()
    within = {"overdue": timedelta(), "day": timedelta(days=1), "week": timedelta(days=7)}
    if value == "none":
        return rows.filter(urgent_at=NEVER)
    return rows.filter(urgent_at__lte=now + within[value]) if value in within else rows.none()


def _risk(rows: QuerySet[DecisionStep], value: str, _ctx: ActingContext) -> QuerySet[DecisionStep]:
    return rows.filter(is_flagged=value == "flagged")


def _claimed(rows: QuerySet[DecisionStep], value: str, ctx: ActingContext) -> QuerySet[DecisionStep]:
    if value == "me":
        return rows.filter(claimed_by_id=ctx.principal_id, claimed_until__gt=clock.now())
    return rows.filter(Q(claimed_by=None) | Q(claimed_until__lte=clock.now()))


_FILTERS: Final[Mapping[str, Narrow]] = {
    "workflow_id": lambda rows, value, _ctx: rows.filter(workflow=value),
    "kind": lambda rows, value, _ctx: rows.filter(kind=value),
    "due": _due,
    "risk": _risk,
    "claimed": _claimed,
    "together": lambda rows, value, _ctx: rows.filter(batch_key=value),
}
_CHOICES: Final = (
    ("kind", gettext_lazy("Kind"), [(kind.value, kind.value) for kind in StepKind]),
    (
        "due",
        gettext_lazy("Due"),
        [
            ("overdue", gettext_lazy("overdue")),
            ("day", gettext_lazy("in 24 hours")),
            ("week", gettext_lazy("in 7 days")),
            ("none", gettext_lazy("no deadline")),
        ],
    ),
    ("risk", gettext_lazy("Risk"), [("flagged", gettext_lazy("with risk flags")), ("plain", gettext_lazy("without"))]),
    ("claimed", gettext_lazy("Claimed"), [("me", gettext_lazy("by me")), ("free", gettext_lazy("by nobody"))]),
)


def _position(cursor: str) -> tuple[datetime, uuid.UUID] | None:
    """Return the position that a cursor encodes; None for an invalid cursor."""
    instant, _, step_id = cursor[:120].partition("~")
    try:
        urgent_at = datetime.fromisoformat(instant)
        return (urgent_at, uuid.UUID(step_id)) if urgent_at.tzinfo is not None else None
    except ValueError:
        return None


def _cursor(step: DecisionStep) -> str:
    return f"{step.urgent_at.isoformat()}~{step.id}"


def _query(sent: Mapping[str, str], after: str) -> str:
    parameters = QueryDict(mutable=True)
    parameters.update({**sent, **({_AFTER: after} if after else {})})
    return f"?{parameters.urlencode()}"


def step_id_in(text: str) -> uuid.UUID | None:
    """Return the step id that a query contains."""
    return ids.parse_public_id(ids.DECISION_STEP, text[:80])
