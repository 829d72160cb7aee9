"""Work queue, and the page of one work item."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, QueryDict
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from integrations import selectors as integration_selectors
from integrations.configuration.parsed_documents import document_of
from integrations.freezes.block import freeze_rows_in_force
from integrations.models import Execution
from policies import selectors as policy_selectors
from policies.models import PolicyDecision
from telemetry import selectors as receipt_selectors
from telemetry.admin.list_csv import CsvDownload
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.background import pulse_of
from threada_site.admin.bulk import BulkAction, BulkActions
from threada_site.admin.confirmation import REASON, Confirmation, Effects
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.notices import visibility_notices
from threada_site.api.pagination import Search
from threada_site.database.joint_reads import fetch_together
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.strict import parse_json
from workitems import selectors
from workitems.admin.assignment import ASSIGN, assign_to_sent, people_to_assign
from workitems.admin.contents import RELATED_SHOWN, payload_of, related_to
from workitems.admin.conversation import ConversationButtons, conversation_of, conversation_rows
from workitems.admin.filters import CHANNEL, POLICY_VERSION, WORKFLOW
from workitems.admin.list_views import delete_list_view, save_list_view
from workitems.api.filters import WorkItemFilters
from workitems.api.shapes import CLOSE_WORK_ITEM, EXECUTE_ACTION
from workitems.approvers.step_votes import votes_on
from workitems.conversation.audience import owners_of_requesters, remember_owners
from workitems.conversation.selectors import timeline as readable_timeline
from workitems.executions.close_item import cancel_work_item, resolve_work_item
from workitems.executions.freeze_states import (
    freeze_notices,
    freezes_of_item,
    with_frozen_executions,
    with_frozen_items,
)
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.explain.gather import Newest, explain_work_item
from workitems.items.erasable_fields import erased_by
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.requester_questions import waits_for_requester
from workitems.items.sensitive import is_sensitive, record_reading
from workitems.items.titles import listed_title, title_of
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.search.find import search_items

TIMELINE_SHOWN = 50
_LISTED = 50


def _reference(item: WorkItem) -> str:
    return "" if is_sensitive(item.data_class) else item.external_ref


def _cancelling(admin: Any, call: Call) -> Effects:
    item: WorkItem = admin.find(call.key, ctx=call.ctx)
    said = gettext("{title} ends. What was executed stays; decisions and executions that are open end with it.")
    return Effects([said.format(title=title_of(item))])


def _resolving(admin: Any, call: Call) -> Effects:
    item: WorkItem = admin.find(call.key, ctx=call.ctx)
    return Effects([gettext("{title} ends as resolved, without an execution.").format(title=title_of(item))])


CANCEL: Final = Confirmation(gettext_lazy("Cancel the work item"), _cancelling)
RESOLVE: Final = Confirmation(gettext_lazy("Resolve work item"), _resolving)


@admin.register(WorkItem)
class WorkItemAdmin(ConversationButtons, BulkActions, CsvDownload, TenantAdmin):
    heading = gettext_lazy("Work queue")
    id_prefix = ids.WORK_ITEM
    key = "-id"
    columns = (
        Column(
            gettext_lazy("Work item"),
            lambda item: html.titled(listed_title(item), item.public_id),
            is_wide=True,
            name="item",
        ),
        Column(
            gettext_lazy("Status"),
            lambda item: html.status(item) + _stuck(item) + _asked(item),
            name="status",
            sort="status",
        ),
        Column(gettext_lazy("Workflow"), lambda item: item.workflow, name="workflow", sort="workflow"),
        Column(gettext_lazy("Requester"), lambda item: item.requester, name="requester"),
        Column(gettext_lazy("Risk"), lambda item: html.tags(item.risk_flags) or html.NOTHING, name="risk"),
        Column(gettext_lazy("Received"), lambda item: html.when(item.created_at), name="received", sort="id"),
        Column(gettext_lazy("Id"), lambda item: html.code(item.public_id), is_extra=True, name="id"),
        Column(
            gettext_lazy("Channel"),
            lambda item: item.channel or html.NOTHING,
            is_extra=True,
            name="channel",
            sort="channel",
        ),
        Column(
            gettext_lazy("Reference"), lambda item: _reference(item) or html.NOTHING, is_extra=True, name="reference"
        ),
        Column(gettext_lazy("Assignee"), lambda item: item.assignee or html.NOTHING, is_extra=True, name="assignee"),
        Column(gettext_lazy("Confidence"), lambda item: item.confidence, is_extra=True, name="confidence"),
        Column(
            gettext_lazy("Data class"), lambda item: item.data_class or html.NOTHING, is_extra=True, name="data_class"
        ),
        Column(gettext_lazy("Changed"), lambda item: html.when(item.updated_at), is_extra=True, name="changed"),
    )
    bulk_actions = (BulkAction("cancel", gettext_lazy("Cancel selected"), takes_reason=True), ASSIGN)
    search_hint = gettext_lazy("Title, text, reference, person or id")
    filters = (
        ListFilter("status", gettext_lazy("Status"), choices=words(WorkItemStatus)),
        WORKFLOW,
        CHANNEL,
        POLICY_VERSION,
        ListFilter(
            "nobody_can_decide", gettext_lazy("Stuck"), choices=lambda _ctx: [("true", gettext("nobody can decide"))]
        ),
        ListFilter(
            "waits_for_requester",
            gettext_lazy("Asked"),
            choices=lambda _ctx: [("true", gettext("waits for the requester"))],
        ),
        *created_window(),
    )
    filterset = WorkItemFilters
    nothing_yet = gettext_lazy("There are no work items. Create one with POST /work-items; see /docs.")
    page_template = "workitems/item.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = with_frozen_items(selectors.work_items(ctx), ctx=ctx)
        return rows.select_related("requester", "assignee").defer("payload", "payload_salt")

    def finder(self, query: QueryDict, *, ctx: ActingContext) -> Callable[[str], Search]:
        workflow = query.get("workflow_id", "")
        return lambda text: partial(search_items, text, ctx=ctx, workflow=workflow)

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of saved views, which are those of all lists."""
        views = {"save": save_list_view, "delete": delete_list_view}
        return [
            *(
                path(
                    f"views/<str:page>/{verb}/",
                    self._own(require_POST(view)),
                    name=f"workitems_workitem_{verb}_list_view",
                )
                for verb, view in views.items()
            ),
            *super().get_urls(),
        ]

    def find(self, key: str, *, ctx: ActingContext) -> WorkItem:
        parsed = ids.parse_public_id(ids.WORK_ITEM, key)
        item = selectors.work_item(parsed, ctx=ctx, with_evidence=False) if parsed else None
        if item is None:
            raise Http404("There is no such work item in this tenant.")
        return item

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        return visibility_notices(ctx)

    def page_title(self, row: WorkItem) -> str:
        return title_of(row)

    def page_asked(self, row: WorkItem, query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
        record_reading(row, ctx=ctx)
        workflow_id = row.workflow_version.workflow_id
        status = WorkItemStatus(row.status)
        may_write = ctx.allows(Scope.WORKITEMS_WRITE, workflow=workflow_id)
        mine = {"tenant_id": row.tenant_id, "work_item_id": row.id}
        executions = with_frozen_executions(Execution.objects.filter(**mine), ctx=ctx)
        shown = executions.defer("input", "result").order_by("-id")[:_LISTED]
        decisions = PolicyDecision.objects.filter(**mine).defer("facts", "trace").order_by("-id")[:_LISTED]
        asked = DecisionStep.objects.filter(**mine).select_related("claimed_by", "assignee")
        steps = asked.order_by("-id")[:_LISTED]
        related = selectors.related_items(row, ctx=ctx, most=RELATED_SHOWN)
        evidence = selectors.evidence_rows(row.id, row.tenant_id)
        freezes, owners = freeze_rows_in_force(row.tenant_id), owners_of_requesters(row)
        fetch_together(shown, decisions, steps, related, evidence, freezes, owners)
        remember_owners(row, owners)
        pending = next((step for step in steps if step.status == StepStatus.PENDING), None)
        votes = votes_on(pending) if pending else None
        receipts = readable_timeline(receipt_selectors.receipts_of(row.id, ctx=ctx), row, ctx=ctx)
        timeline = receipt_selectors.with_sealed(receipts).defer("body").order_by("-id")[:TIMELINE_SHOWN]
        conversation = conversation_rows(row, query, ctx=ctx)
        fetch_together(timeline, votes, *conversation.parts)
        row.is_frozen = any(run.is_frozen for run in shown)  # type: ignore[attr-defined]
        newest = Newest(pending, next(iter(shown), None), next(iter(decisions), None), votes, freezes)
        return {
            "contents": payload_of(row, whole=query.get("whole") == "1", ctx=ctx),
            **conversation_of(row, conversation, ctx=ctx, back=self.url_of(row)),
            "evidence": evidence,
            "pulse": pulse_of("item", row.public_id, status=row.status),
            "erased_by": erased_by(row),
            **related_to(row, related, ctx=ctx),
            "explanation": explain_work_item(row, ctx=ctx, newest=newest),
            "steps": steps,
            "executions": shown,
            "simulated": {execution.id for execution in shown if execution.is_simulated},
            "freezes": freeze_notices(freezes_of_item(row, shown, freezes)) if WORK_ITEM.is_open(status) else [],
            "decisions": decisions,
            "timeline": [(receipt, receipt.is_sealed) for receipt in timeline],
            "links_receipts": ctx.has_scope_anywhere(Scope.TELEMETRY_READ),
            "actions": self._actions(row, ctx=ctx) if self._takes_actions(status) else [],
            "may_cancel": may_write and WORK_ITEM.is_open(status),
            "may_resolve": may_write and WORK_ITEM.allows(status, WorkItemStatus.RESOLVED),
        }

    @action(Scope.ACTIONS_EXECUTE)
    def execute(self, call: Call) -> Done:
        """Execute an action, or request its approval."""
        item = self._locked(call)
        integration, _, action = call.sent("action").partition("/")
        body = EXECUTE_ACTION.check(
            {
                "work_item_id": call.key,
                "integration_id": integration,
                "action_id": action,
                **({"input": parse_json(call.sent("input").encode())} if call.sent("input") else {}),
            }
        )
        started = execute_action(
            item, ActionRequest(integration=integration, action=action, input=body.get("input", {})), ctx=call.ctx
        )
        if started.step is not None:
            return Done(
                gettext("{action} on {integration} waits for an approval.").format(
                    action=action, integration=integration
                )
            )
        return Done(gettext("{action} on {integration} has started.").format(action=action, integration=integration))

    @action(Scope.WORKITEMS_WRITE, confirm=CANCEL)
    def cancel(self, call: Call) -> Done:
        cancel_work_item(self._locked(call), ctx=call.ctx, reason=_reason(call))
        return Done(gettext("The work item is cancelled."))

    @action(Scope.WORKITEMS_WRITE, confirm=RESOLVE)
    def resolve(self, call: Call) -> Done:
        resolve_work_item(self._locked(call), ctx=call.ctx, reason=_reason(call))
        return Done(gettext("The work item is resolved."))

    @action(Scope.DECISIONS_DECIDE)
    def assign(self, call: Call) -> Done:
        """Assign the pending decision about the work item."""
        item = self._locked(call)
        step = selectors.pending_step_of(item)
        if step is None:
            raise errors.StepClosed("No decision about this work item is pending.")
        return assign_to_sent(item, step, call, reason=call.sent(REASON))

    def bulk_people(self, bulk: BulkAction, ctx: ActingContext) -> list[str]:
        return people_to_assign(ctx)

    def _locked(self, call: Call) -> WorkItem:
        parsed = ids.parse_public_id(ids.WORK_ITEM, call.key)
        if parsed is None:
            raise errors.NotFound
        item = locked_item(parsed, ctx=call.ctx)
        call.subject = subject_of(item)
        return item

    def _takes_actions(self, status: WorkItemStatus) -> bool:
        return status in (WorkItemStatus.NEW, WorkItemStatus.READY, WorkItemStatus.FAILED)

    def _actions(self, item: WorkItem, *, ctx: ActingContext) -> list[tuple[str, str]]:
        """Return the actions that the workflow allows and the caller may execute, as pairs of value and label."""
        allowed = set(policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx).actions)
        workflow_id = item.workflow_version.workflow_id
        found = []
        for integration in (
            integration_selectors.readable_integrations(ctx).filter(current_version__isnull=False).order_by("slug")
        ):
            if integration.current_version is None or not ctx.allows(
                Scope.ACTIONS_EXECUTE, workflow=workflow_id, integration=integration.id
            ):
                continue
            document = document_of(integration.current_version)
            found += [
                (f"{integration.slug}/{action}", f"{action} on {integration.slug}")
                for action in sorted(allowed.intersection(document.actions))
            ]
        return found


def _asked(item: WorkItem) -> SafeString:
    return html.badge("waits for the requester") if waits_for_requester(item) else SafeString("")


def _stuck(item: WorkItem) -> SafeString:
    return html.badge("nobody can decide") if item.nobody_can_decide else SafeString("")


def _reason(call: Call) -> str:
    text = call.sent(REASON)
    body: dict[str, str] = CLOSE_WORK_ITEM.check({"reason": text} if text else {})
    return body.get("reason", "")
