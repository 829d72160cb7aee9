"""Decision desk and the page of one decision step."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from policies.language.approvals import from_json
from telemetry.admin.list_csv import CsvDownload
from threada_site.admin import html
from threada_site.admin.actions import ActionSpec, Call, Done, action, press, sentences
from threada_site.admin.background import is_in_background, pulse_of
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.admin.notices import visibility_notices
from threada_site.admin.reauthentication import reauthenticate
from threada_site.admin.words import word
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError
from workitems import selectors
from workitems.admin.amendments import AmendmentPages
from workitems.admin.batch_page import CHOICE, batch_page, decide_batch
from workitems.admin.decision_page import decision_page
from workitems.admin.decision_statistics import DecisionStatisticsPages
from workitems.admin.desk.page import next_step, step_id_in
from workitems.admin.desk.pages import TITLE, DeskPages
from workitems.admin.filters import WORKFLOW
from workitems.admin.permits.pages import proposal_sent
from workitems.admin.reassignment import ReassignmentPages, locked_step_of
from workitems.api.filters import DecisionStepFilters
from workitems.api.shapes import CAST_VOTE
from workitems.desk.page_views import record_page_views
from workitems.items.questions import question_of
from workitems.items.titles import listed_title, title_of
from workitems.lifecycle import StepKind, StepStatus
from workitems.models import DecisionStep
from workitems.permits.propose import vote_with_permit
from workitems.steps.claims import claim_step, release_step
from workitems.steps.voting import Ballot, cast_vote


@admin.register(DecisionStep)
class DecisionStepAdmin(
    AmendmentPages, ReassignmentPages, DeskPages, DecisionStatisticsPages, CsvDownload, TenantAdmin
):
    heading = gettext_lazy("Decisions")
    id_prefix = ids.DECISION_STEP
    key = "-id"
    columns = (
        Column(gettext_lazy("Title"), lambda step: listed_title(step.work_item), is_wide=True, name="title"),
        Column(gettext_lazy("Decision"), question_of, is_wide=True, name="decision"),
        Column(gettext_lazy("Status"), lambda step: html.badge(step.status), name="status", sort="status"),
        Column(gettext_lazy("Workflow"), lambda step: step.workflow, name="workflow"),
        Column(gettext_lazy("Opened"), lambda step: html.when(step.opened_at), name="opened", sort="id"),
        Column(gettext_lazy("Until"), lambda step: html.when(step.expires_at) or _("no deadline"), name="until"),
        Column(gettext_lazy("Kind"), lambda step: step.kind, is_extra=True, name="kind"),
        Column(gettext_lazy("Assignee"), lambda step: step.assignee or html.NOTHING, is_extra=True, name="assignee"),
        Column(gettext_lazy("Id"), lambda step: html.code(step.public_id), is_extra=True, name="id"),
    )
    filters = (
        ListFilter("mine", gettext_lazy("Pending for"), choices=lambda _ctx: [("true", _("me"))]),
        ListFilter("status", gettext_lazy("Status"), choices=words(StepStatus)),
        ListFilter("kind", gettext_lazy("Kind"), choices=words(StepKind)),
        WORKFLOW,
        *created_window(),
    )
    filterset = DecisionStepFilters
    about = gettext_lazy("Reviews and approvals that policies or actions require.")
    nothing_yet = gettext_lazy(
        "There are no decisions. Policies with the effect review or require_approval create them."
    )
    page_template = "workitems/step.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.decision_steps(ctx)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        ctx = context_of(request)
        rows = selectors.decision_steps(ctx)
        if (request.POST or request.GET).get("mine") == "true":
            rows = selectors.steps_pending_for(ctx, rows)
        return rows.select_related("execution", "assignee", "work_item").defer(
            "work_item__payload", "work_item__payload_salt"
        )

    def find(self, key: str, *, ctx: ActingContext) -> DecisionStep:
        parsed = ids.parse_public_id(ids.DECISION_STEP, key)
        rows = selectors.decision_steps(ctx).select_related(
            "envelope",
            "claimed_by",
            "assignee",
            "execution",
            "work_item__workflow_version",
            "work_item__requester",
        )
        step = rows.filter(id=parsed).first() if parsed else None
        if step is None:
            raise Http404("There is no such decision in this tenant.")
        return step

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        return visibility_notices(ctx)

    def page_title(self, row: DecisionStep) -> str:
        return title_of(row.work_item)

    def get_urls(self) -> list[URLPattern]:
        name = "workitems_decisionstep"
        return [
            path("next/", self._wrap(require_safe(self.next_view)), name=f"{name}_next"),
            path("batch/", self._wrap(require_safe(self.batch_view)), name=f"{name}_batch"),
            path("batch/vote/", self._own(require_POST(self.batch_vote_view)), name=f"{name}_batch_vote"),
            *super().get_urls(),
        ]

    def next_view(self, request: HttpRequest) -> HttpResponse:
        """Redirect to the reader's most urgent step after the one in the query."""
        step = next_step(self._require_view(request), behind=step_id_in(request.GET.get("behind", "")))
        if step is None:
            messages.info(request, _("No other decision is pending for you."))
            return HttpResponseRedirect(reverse("admin:workitems_decisionstep_desk"))
        return HttpResponseRedirect(self.url_of(step))

    def batch_view(self, request: HttpRequest) -> HttpResponse:
        """Show the chosen steps on one page."""
        ctx = self._require_view(request)
        desk = reverse("admin:workitems_decisionstep_desk")
        try:
            page = batch_page(request.GET.getlist(CHOICE), ctx=ctx)
        except ThreadaError as refusal:
            for sentence in sentences(refusal)[:1]:
                messages.error(request, sentence)
            return HttpResponseRedirect(desk)
        if is_looked_at(request):
            record_page_views((row.step for row in page["rows"]), ctx=ctx)
        frame = {**self.admin_site.each_context(request), "title": _("Decide together"), "desk_url": desk}
        return TemplateResponse(request, "workitems/batch.html", {**frame, **page})

    def batch_vote_view(self, request: HttpRequest) -> HttpResponse:
        """Cast one vote on all chosen steps. A refusal leads back to the page with the same choice."""
        chosen = urlencode([(CHOICE, choice) for choice in request.POST.getlist(CHOICE)])
        back = f"{reverse('admin:workitems_decisionstep_batch')}?{chosen}"
        spec = ActionSpec("batch-vote", Scope.DECISIONS_DECIDE)
        return press(Call(request, context_of(request), ""), spec, decide_batch, back=back)

    def row_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the step, and record the page view of an approver."""
        response: Any = super().row_view(request, key)
        page = response.context_data
        if page["may_vote"] and is_looked_at(request):
            record_page_views([page["row"]], ctx=page["ctx"])
        return response

    def page_asked(self, row: DecisionStep, query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
        pulse = pulse_of("step", row.public_id, status=row.status, envelope_sha256=row.envelope_sha256)
        page = {**decision_page(row, query, ctx=ctx), "pulse": pulse}
        if not ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE):
            return {"next_url": "", **page}
        onward = f"{reverse('admin:workitems_decisionstep_next')}?behind={row.public_id}"
        back = {"list_title": TITLE, "list_url": reverse("admin:workitems_decisionstep_desk")}
        return {"next_url": onward, **back, **page}

    @action(Scope.DECISIONS_DECIDE)
    def approve(self, call: Call) -> Done:
        return self._vote(call, "approve")

    @action(Scope.DECISIONS_DECIDE)
    def reject(self, call: Call) -> Done:
        return self._vote(call, "reject")

    @action(Scope.DECISIONS_DECIDE)
    def claim(self, call: Call) -> Done:
        item, step = locked_step_of(call)
        claim_step(item, step, ctx=call.ctx)
        return Done(_("The step is claimed by you for half an hour."))

    @action(Scope.DECISIONS_DECIDE)
    def release(self, call: Call) -> Done:
        item, step = locked_step_of(call)
        release_step(item, step, ctx=call.ctx)
        return Done(_("The step is released."))

    def _vote(self, call: Call, decision: Literal["approve", "reject"]) -> Done:
        ctx = reauthenticate(call.request, call.ctx)
        item, step = locked_step_of(call)
        sent = {name: call.sent(name) for name in ("envelope_sha256", "reason_code", "comment")}
        body = CAST_VOTE.check({"decision": decision, **{name: text for name, text in sent.items() if text}})
        rule = from_json(step.rule)
        proposal = proposal_sent(call, step, rule) if decision == "approve" else None
        if proposal is None:
            cast_vote(item, step, Ballot(**body), ctx=ctx)
        else:
            vote_with_permit(item, step, Ballot(**body), proposal, ctx=ctx)
        said = _("Your approval is recorded.") if decision == "approve" else _("Your rejection is recorded.")
        if step.status == StepStatus.PENDING:
            return Done(f"{said} {_('Other votes are still needed.')}")
        result = _("The {kind} is {status}; the work item is {item_status}.").format(
            kind=word(step.kind), status=word(step.status), item_status=word(item.status)
        )
        return Done(f"{said} {result}")


def is_looked_at(request: HttpRequest) -> bool:
    """Return True for a GET request of a page, unless the browser prefetches it or a script updates an open page."""
    is_prefetched = request.headers.get("Sec-Purpose", "").startswith("prefetch")
    return request.method == "GET" and not is_prefetched and not is_in_background(request)
