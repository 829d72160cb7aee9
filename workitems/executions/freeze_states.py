"""Freezes on pages of cases: notices, and the displayed state "blocked by freeze"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.freezes.block import place_of_execution
from integrations.freezes.covering import has_blocked_execution, is_blocked
from integrations.freezes.scope import Place
from integrations.models import OPEN_EXECUTION_STATUSES, Execution, Freeze
from threada_site.admin import html
from threada_site.admin.words import said
from threada_site.kernel.context import ActingContext
from workitems.models import DecisionStep, WorkItem
from workitems.steps.frozen_steps import place_of

FREEZES_SHOWN: Final = 3


def with_frozen_executions(rows: QuerySet[Execution], *, ctx: ActingContext) -> QuerySet[Execution]:
    """Return executions with `is_frozen`: a freeze in force keeps it from being sent."""
    return rows.annotate(is_frozen=is_blocked(ctx.tenant_id))


def with_frozen_items(rows: QuerySet[WorkItem], *, ctx: ActingContext) -> QuerySet[WorkItem]:
    """Return work items with `is_frozen`: a freeze in force keeps an execution of it from being sent."""
    return rows.annotate(is_frozen=has_blocked_execution(ctx.tenant_id))


def freezes_of_step(step: DecisionStep, in_force: Iterable[Freeze]) -> list[Freeze]:
    """Return the freezes of `in_force` that cover a step."""
    return [freeze for freeze in in_force if freeze.scope.covers(place_of(step))]


def freezes_of_item(item: WorkItem, executions: Iterable[Execution], in_force: Iterable[Freeze]) -> list[Freeze]:
    """Return the freezes of `in_force` that cover a work item: its workflow, or an execution of it that has not
    ended."""
    open_ones = [run for run in executions if run.status in OPEN_EXECUTION_STATUSES]
    return [
        freeze
        for freeze in in_force
        if freeze.scope.covers(Place(item.workflow))
        or any(freeze.scope.covers(place_of_execution(run)) for run in open_ones)
    ]


def freeze_notices(freezes: Iterable[Freeze]) -> list[SafeString]:
    """Return a line for each of the oldest freezes in force, and one that counts the others."""
    found = list(freezes)
    lines = [_line(freeze) for freeze in found[:FREEZES_SHOWN]]
    if (more := len(found) - FREEZES_SHOWN) > 0:
        others = ngettext("%(count)d more freeze is in force.", "%(count)d more freezes are in force.", more)
        address = f"{html.list_url('integrations.freeze')}?in_force=true"
        lines.append(format_html('<a class="t-link" href="{}">{}</a>', address, others % {"count": more}))
    return lines


def _line(freeze: Freeze) -> SafeString:
    is_limited = freeze.workflow or freeze.integration or freeze.principal
    scope = said(freeze.scope.sentence) if is_limited else _("everything in the tenant")
    link: Any = html.row_link("integrations.freeze", freeze.public_id, _("Frozen: %(scope)s") % {"scope": scope})
    text = _("since %(time)s. Nothing in this scope is sent; votes are accepted. Reason:")
    before, _mark, after = text.partition("%(time)s")
    return format_html("{} {}{}{} {}", link, before, html.when(freeze.set_at), after, freeze.reason)
