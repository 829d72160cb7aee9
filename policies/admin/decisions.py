"""Console pages of policy decisions: facts, rules and outcome."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.deciding.stored_decision import explanation_of, record_reading_of_facts, stored_facts
from policies.models import PolicyDecision
from policies.replay.titled_examples import case_titles
from threada_site.admin import html
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope, Visibility


@admin.register(PolicyDecision)
class PolicyDecisionAdmin(TenantAdmin):
    id_prefix = ids.POLICY_DECISION
    key = "-id"
    columns = (
        Column(
            gettext_lazy("Decision"),
            lambda decision: (
                html.titled(decision.case_title, decision.public_id)
                if decision.case_title
                else html.code(decision.public_id)
            ),
            is_wide=True,
        ),
        Column(gettext_lazy("Outcome"), lambda decision: html.badge(decision.outcome)),
        Column(gettext_lazy("Asked at"), lambda decision: word(decision.point)),
        Column(gettext_lazy("Reasons"), lambda decision: html.tags(decision.reason_codes)),
        Column(gettext_lazy("At"), lambda decision: html.when(decision.created_at)),
    )
    nothing_yet = gettext_lazy("No policy has decided anything yet.")
    page_template = "policies/decision.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id)
        # The workflow is only in the facts, so readers of some cases reach decisions through work items.
        reads_all = Scope.WORKITEMS_READ in ctx.scopes and ctx.visibility is Visibility.TENANT
        return rows if reads_all else rows.none()

    def find(self, key: str, *, ctx: ActingContext) -> PolicyDecision:
        parsed = ids.parse_public_id(ids.POLICY_DECISION, key)
        decision = selectors.decision_for(parsed, ctx=ctx) if parsed else None
        if decision is None:
            raise Http404("There is no such decision here.")
        return decision

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return self.rows(request.acting_context).defer("facts", "trace")

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        titles = case_titles((row.work_item_id for row in rows), ctx=ctx)
        for row in rows:
            row.case_title = titles.get(row.work_item_id, "")

    def page_title(self, row: PolicyDecision) -> str:
        return _("decision {id}").format(id=row.public_id)

    def page(self, row: PolicyDecision, *, ctx: ActingContext) -> dict[str, Any]:
        record_reading_of_facts(row, ctx=ctx)
        return {
            "case_title": case_titles([row.work_item_id], ctx=ctx).get(row.work_item_id),
            "work_item": ids.public_id(ids.WORK_ITEM, row.work_item_id),
            "execution": ids.public_id(ids.EXECUTION, row.execution_id) if row.execution_id else "",
            "facts": stored_facts(row),
            "explanation": explanation_of(row),
        }
