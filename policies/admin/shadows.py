"""Console pages of shadows: versions compared with live decisions without being enforced."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.admin.consequences import END_SHADOW
from policies.lifecycle import ShadowStatus
from policies.models import PolicyShadow, ShadowResult
from policies.replay.reports import found_context, represent_finding
from policies.replay.shadows import end_shadow
from policies.replay.titled_examples import with_titles
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

_SHOWN = 10


@admin.register(PolicyShadow)
class PolicyShadowAdmin(TenantAdmin):
    heading = gettext_lazy("Shadows")
    id_prefix = ids.POLICY_SHADOW
    key = "-id"
    columns = (
        Column(
            gettext_lazy("Shadow"),
            lambda shadow: html.titled(str(shadow.policy_version), shadow.public_id),
            is_wide=True,
        ),
        Column(gettext_lazy("Status"), lambda shadow: html.badge(shadow.status)),
        Column(gettext_lazy("Compared"), lambda shadow: f"{shadow.compared:,}"),
        Column(gettext_lazy("Different"), lambda shadow: f"{shadow.flipped:,}"),
        Column(gettext_lazy("Started"), lambda shadow: html.when(shadow.created_at)),
        Column(gettext_lazy("Ends"), lambda shadow: html.when(shadow.ends_at)),
    )
    about = gettext_lazy(
        "Policy versions that are compared with every live decision of their policy and never enforced."
    )
    nothing_yet = gettext_lazy("There is no shadow. Start one on the page of a policy version.")
    page_template = "policies/shadow.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = selectors.shadows(ctx)
        # Shadows contain cases of every workflow.
        return rows if ctx.allows(Scope.WORKITEMS_READ) else rows.none()

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return self.rows(request.acting_context).defer("document", "summary")

    def page_title(self, row: PolicyShadow) -> str:
        return _("shadow of {version}").format(version=row.policy_version)

    def page(self, row: PolicyShadow, *, ctx: ActingContext) -> dict[str, Any]:
        results = ShadowResult.objects.filter(tenant_id=row.tenant_id, shadow=row).order_by("-decision_id")
        found = {
            **found_context(row.summary),
            "examples": list(map(represent_finding, results.filter(kind="flip")[:_SHOWN])),
            "unanswered": list(map(represent_finding, results.filter(kind="not_replayable")[:_SHOWN])),
        }
        return {
            "started_by": (row.started_by and User.objects.filter(id=row.started_by).first()) or _("the instance"),
            "can_end": row.status == ShadowStatus.ACTIVE and ctx.allows(Scope.POLICIES_WRITE),
            **with_titles(found, ctx=ctx),
        }

    @action(Scope.POLICIES_WRITE, confirm=END_SHADOW)
    def end(self, call: Call) -> Done:
        """End the shadow now."""
        parsed = ids.parse_public_id(ids.POLICY_SHADOW, call.key)
        rows = self.rows(call.ctx).select_for_update(of=("self",))
        shadow: PolicyShadow | None = rows.filter(id=parsed).first() if parsed else None
        if shadow is None:
            raise errors.NotFound
        call.subject = Subject(policy_version_id=shadow.policy_version_id, status=shadow.status)
        end_shadow(shadow, ctx=call.ctx)
        return Done(_("Shadow ended."))
