"""Console pages of replays: progress, results and flow diagram."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from policies import selectors
from policies.admin.consequences import CANCEL_REPLAY
from policies.api.replays import report_of
from policies.lifecycle import REPLAY, ReplayStatus
from policies.models import PolicyReplay
from policies.replay.reports import report_context
from policies.replay.request import cancel_replay, resume_replay
from policies.replay.titled_examples import with_titles
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User


@admin.register(PolicyReplay)
class PolicyReplayAdmin(TenantAdmin):
    heading = gettext_lazy("Replays")
    id_prefix = ids.POLICY_REPLAY
    key = "-id"
    columns = (
        Column(
            gettext_lazy("Replay"),
            lambda replay: html.titled(str(replay.policy_version or replay.policy.slug), replay.public_id),
            is_wide=True,
        ),
        Column(
            gettext_lazy("Of"),
            lambda replay: f"v{replay.policy_version.number}" if replay.policy_version else _("a file"),
        ),
        Column(gettext_lazy("Status"), lambda replay: html.badge(replay.status)),
        Column(gettext_lazy("Replayed"), lambda replay: f"{replay.replayed:,}"),
        Column(gettext_lazy("Different"), lambda replay: f"{replay.flipped:,}"),
        Column(gettext_lazy("Not replayable"), lambda replay: f"{replay.not_replayable:,}"),
        Column(gettext_lazy("Requested"), lambda replay: html.when(replay.created_at)),
    )
    about = gettext_lazy(
        "Comparisons of a policy version with recorded decisions. Start one on the page of a policy version."
    )
    nothing_yet = gettext_lazy("There is no replay. Open a policy version and replay recorded decisions.")
    page_template = "policies/replay.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = selectors.replays(ctx)
        # Replays contain cases of every workflow.
        return rows if ctx.allows(Scope.WORKITEMS_READ) else rows.none()

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return self.rows(request.acting_context).defer("document", "summary")

    def page_title(self, row: PolicyReplay) -> str:
        return _("replay of {slug}").format(slug=row.policy.slug)

    def page(self, row: PolicyReplay, *, ctx: ActingContext) -> dict[str, Any]:
        status = ReplayStatus(row.status)
        may_write = ctx.allows(Scope.POLICIES_WRITE)
        return {
            "requested_by": (row.requested_by and User.objects.filter(id=row.requested_by).first())
            or _("the instance"),
            "is_waiting": status in (ReplayStatus.REQUESTED, ReplayStatus.RUNNING),
            "can_cancel": may_write and REPLAY.allows(status, ReplayStatus.CANCELLED),
            "can_resume": may_write and status in (ReplayStatus.CANCELLED, ReplayStatus.FAILED),
            **with_titles(report_context(row, most=10), ctx=ctx),
        }

    def get_urls(self) -> list[URLPattern]:
        name = "policies_policyreplay_report"
        return [path("<str:key>/report/", self._wrap(require_safe(self.report)), name=name), *super().get_urls()]

    def report(self, request: HttpRequest, key: str) -> HttpResponseBase:
        """Download the report, as an HTML page or as JSON with all findings."""
        ctx = self._require_view(request)
        return report_of(self.find(key, ctx=ctx), "json" if request.GET.get("format") == "json" else "html", ctx=ctx)

    @action(Scope.POLICIES_WRITE, confirm=CANCEL_REPLAY)
    def cancel(self, call: Call) -> Done:
        """Cancel the replay."""
        cancel_replay(self._locked(call), ctx=call.ctx)
        return Done(_("Replay cancelled. It can be resumed."))

    @action(Scope.POLICIES_WRITE)
    def resume(self, call: Call) -> Done:
        """Resume the replay."""
        resume_replay(self._locked(call), ctx=call.ctx)
        return Done(_("Replay resumed."))

    def _locked(self, call: Call) -> PolicyReplay:
        parsed = ids.parse_public_id(ids.POLICY_REPLAY, call.key)
        rows = self.rows(call.ctx).select_for_update(of=("self",))
        replay: PolicyReplay | None = rows.filter(id=parsed).first() if parsed else None
        if replay is None:
            raise errors.NotFound
        call.subject = Subject(policy_version_id=replay.policy_version_id, status=replay.status)
        return replay
