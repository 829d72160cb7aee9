"""Decision desk: the steps that the reader can decide, most urgent first, grouped by rule and action."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from integrations.freezes.block import freeze_rows_in_force
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.admin.desk.rows import DESK, PER_PAGE, DeskRow, desk_list
from workitems.admin.list_views import views_of
from workitems.executions.freeze_states import freeze_notices
from workitems.items.questions import question_of
from workitems.models import DecisionStep
from workitems.steps.batch_limits import RiskLevel
from workitems.steps.batch_voting import cap_of, riskiest_of


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


def desk_page(query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context: groups, filters, columns, saved views, and the neighbouring pages."""
    freezes = freeze_rows_in_force(ctx.tenant_id)
    proposed = selectors.delegations_to_consent_to(ctx).order_by("id")[:PER_PAGE]
    views = selectors.views_of_page(ctx, "desk")
    page = desk_list(query, ctx=ctx, freezes=freezes, beside=(proposed, views))
    return {
        "page": page,
        "groups": _groups(page.rows),
        "freezes": freeze_notices(freezes),
        "proposed_delegations": proposed,
        "is_empty": not page.rows,
        "filters": [one for one in page.filters if one.label],
        "together": page.kept.get("together", ""),
        "shown": {column.name for column in page.columns},
        "selectable": [(column, column in page.columns) for column in DESK.columns[1:]],
        "views": views_of("desk", page, ctx, views),
    }


def next_step(ctx: ActingContext, *, behind: uuid.UUID | None) -> DecisionStep | None:
    """Return the step after `behind` on the caller's desk, or the first one; None if no other step is pending."""
    mine = selectors.steps_pending_for(ctx, selectors.decision_steps(ctx))
    waiting = list(mine.only("id").order_by("urgent_at", "id")[:PER_PAGE])
    place = next((place for place, step in enumerate(waiting) if step.id == behind), -1)
    return waiting[(place + 1) % len(waiting)] if waiting and waiting[(place + 1) % len(waiting)].id != behind else None


def _groups(rows: list[DeskRow]) -> list[DeskGroup]:
    """Return groups ordered by their first step. A step without a key is its own group."""
    together: dict[str, list[DeskRow]] = {}
    for row in rows:
        together.setdefault(row.step.batch_key or row.step.public_id, []).append(row)
    found = []
    for members in together.values():
        first = members[0].step
        levels = {riskiest_of([row.step.work_item]) for row in members}
        found.append(
            DeskGroup(
                key=first.batch_key,
                question=question_of(first),
                rules=_rules(first),
                reasons=first.reason_codes,
                rows=members,
                caps=[(level.value, cap_of(level)) for level in RiskLevel if level in levels],
            )
        )
    return found


def _rules(step: DecisionStep) -> list[str]:
    return [f"{rule['policy']} / {rule['rule']}" for rule in step.matched or ()]  # type: ignore[attr-defined]


def step_id_in(text: str) -> uuid.UUID | None:
    """Return the step id that a query contains."""
    return ids.parse_public_id(ids.DECISION_STEP, text[:80])
