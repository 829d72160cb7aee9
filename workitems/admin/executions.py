"""Console pages of executions: attempts, failures, and the actions cancel, retry, undo, reconcile and bulk retry."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from integrations.attempts.failures import FailureClass
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from telemetry.admin.list_csv import CsvDownload
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.bulk import BulkAction, BulkActions
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.forms import ConsoleForm, DocumentArea, form_page
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.admin.notices import visibility_notices
from threada_site.admin.words import word
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.admin.execution_page import execution_page
from workitems.admin.filters import CHANNEL, INTEGRATION, POLICY_VERSION, WORKFLOW
from workitems.admin.operations import operations_page
from workitems.api.filters import ExecutionFilters
from workitems.api.shapes import RECONCILE_EXECUTION
from workitems.executions.dead_letters import MOST_AT_ONCE, Criteria, named, retry_dead_letters
from workitems.executions.freeze_states import with_frozen_executions
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.executions.undo import undo_of
from workitems.items.locks import locked_execution
from workitems.items.receipts import subject_of
from workitems.items.titles import title_of_execution, with_titles
from workitems.models import WorkItem
from workitems.search.find import search_items


class UndoForm(ConsoleForm):
    intro = gettext_lazy(
        "This executes the undo action. Policies and approvals apply as to any action. The status of a closed work "
        "item does not change."
    )
    input = forms.JSONField(label=gettext_lazy("Input (JSON)"), required=False, widget=DocumentArea(rows=6))

    def prepare(self) -> None:
        self.initial = {"input": {}}

    def clean_input(self) -> dict[str, Any]:
        value = self.cleaned_data["input"]
        if not isinstance(value or {}, dict):
            raise forms.ValidationError(_("Enter a JSON object."))
        return value or {}


class RetryForm(ConsoleForm):
    intro = gettext_lazy(
        "The oldest dead letters of this kind are retried. Each keeps its envelope and its approval. The policies "
        "in force are evaluated again right before the call."
    )
    workflow = forms.ChoiceField(required=False)
    integration = forms.ChoiceField(required=False)
    failure = forms.ChoiceField(label=gettext_lazy("Failure"), required=False)
    limit = forms.IntegerField(label=gettext_lazy("At most"), min_value=1, max_value=MOST_AT_ONCE, initial=MOST_AT_ONCE)

    def prepare(self) -> None:
        for name, known in (("workflow", WORKFLOW), ("integration", INTEGRATION)):
            assert known.choices is not None  # noqa: S101
            self._choose(name, known.choices(self.ctx))
        self._choose("failure", words(FailureClass)(self.ctx))

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101
        field.choices = [("", _("any")), *choices]


def _status(run: Execution) -> SafeString:
    marks = [_("simulated")] if run.is_simulated else []
    marks += [word("undo_overdue")] if run.undo_due_at and run.undo_due_at <= clock.now() else []
    return format_html("{} {}", html.status(run), html.tags(marks))


def _item(run: Execution) -> SafeString:
    return html.row_link("workitems.workitem", ids.public_id(ids.WORK_ITEM, run.work_item_id))


def _cancelling(admin: Any, call: Call) -> Effects:
    row: Execution = admin.find(call.key, ctx=call.ctx)
    said = _("{action} on {integration} is not sent. The approval that it waits for is closed.")
    return Effects([said.format(action=row.action, integration=row.integration)])


CANCEL: Final = Confirmation(gettext_lazy("Cancel execution"), _cancelling)


@admin.register(Execution)
class ExecutionAdmin(BulkActions, CsvDownload, TenantAdmin):
    id_prefix = ids.EXECUTION
    key = "-id"
    columns = (
        Column(
            gettext_lazy("Execution"),
            lambda run: html.titled(title_of_execution(run), run.public_id),
            is_wide=True,
            name="execution",
        ),
        Column(gettext_lazy("Status"), _status, name="status", sort="status"),
        Column(
            gettext_lazy("Action"),
            lambda run: _("{action} on {integration}").format(action=run.action, integration=run.integration),
            name="action",
        ),
        Column(gettext_lazy("Workflow"), lambda run: run.workflow, name="workflow", sort="workflow"),
        Column(gettext_lazy("Attempts"), lambda run: run.attempts_made, name="attempts"),
        Column(gettext_lazy("Failure"), lambda run: word(run.failure) if run.failure else html.NOTHING, name="failure"),
        Column(gettext_lazy("Requested"), lambda run: html.when(run.created_at), name="requested", sort="id"),
        Column(gettext_lazy("Work item"), _item, is_extra=True, name="item"),
        Column(
            gettext_lazy("Channel"),
            lambda run: run.channel or html.NOTHING,
            is_extra=True,
            name="channel",
            sort="channel",
        ),
        Column(gettext_lazy("Finished"), lambda run: html.when(run.finished_at), is_extra=True, name="finished"),
    )
    bulk_actions = (
        BulkAction("cancel", gettext_lazy("Cancel selected")),
        BulkAction("retry", gettext_lazy("Retry selected")),
    )
    filters = (
        ListFilter("status", gettext_lazy("Status"), choices=words(ExecutionStatus)),
        WORKFLOW,
        CHANNEL,
        INTEGRATION,
        POLICY_VERSION,
        ListFilter("failure", gettext_lazy("Failure"), choices=words(FailureClass)),
        ListFilter(
            "dead_letter", gettext_lazy("Dead letters"), choices=lambda _ctx: [("true", _("only dead letters"))]
        ),
        ListFilter(
            "undo",
            gettext_lazy("Undo"),
            choices=lambda _ctx: [("due", _("ends by itself")), ("overdue", word("undo_overdue"))],
        ),
        *created_window(),
    )
    filterset = ExecutionFilters
    nothing_yet = gettext_lazy(
        "No action has been executed. Open a work item with the status ready in the queue to execute one."
    )
    search_hint = gettext_lazy("Title, text, reference, person or id")
    page_template = "workitems/execution.html"

    def get_urls(self) -> list[URLPattern]:
        view = self._wrap(require_safe(self.operations_view))
        return [path("operations/", view, name="integrations_execution_operations"), *super().get_urls()]

    def operations_view(self, request: HttpRequest) -> HttpResponse:
        """Show the queue, the integrations, and the executions that need an operator."""
        ctx = self._require_view(request)
        frame = {**self.admin_site.each_context(request), "title": _("Operations")}
        return TemplateResponse(request, "workitems/operations.html", {**frame, **operations_page(ctx)})

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = with_titles(with_frozen_executions(selectors.executions(ctx), ctx=ctx))
        return rows.select_related("envelope", "integration_version__integration")

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        ctx = context_of(request)
        rows = with_titles(with_frozen_executions(selectors.executions(ctx), ctx=ctx))
        return rows.defer("input", "result", "failure_detail")

    def searched(self, rows: QuerySet[Any], text: str, *, ctx: ActingContext) -> QuerySet[Any]:
        """Return the execution with this id, or the executions on the newest work items that match."""
        parsed = ids.parse_public_id(ids.EXECUTION, text)
        return rows.filter(id=parsed) if parsed else rows.filter(work_item_id__in=search_items(text, ctx=ctx))

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        return visibility_notices(ctx)

    def page_title(self, row: Execution) -> str:
        return _("execution of {action} on {integration}").format(action=row.action, integration=row.integration)

    def page(self, row: Execution, *, ctx: ActingContext) -> dict[str, Any]:
        return execution_page(row, ctx=ctx)

    @action(Scope.ACTIONS_EXECUTE, confirm=CANCEL)
    def cancel(self, call: Call) -> Done:
        item, execution = self._locked(call)
        cancel_execution(item, execution, ctx=call.ctx)
        return Done(_("The execution is cancelled."))

    @action(Scope.ACTIONS_EXECUTE)
    def retry(self, call: Call) -> Done:
        item, execution = self._locked(call)
        retry_execution(item, execution, ctx=call.ctx)
        return Done(_("The execution is retried with its envelope and its approval."))

    @form_page(
        gettext_lazy("Undo the action"),
        form=UndoForm,
        scope=Scope.ACTIONS_EXECUTE,
        of_row=True,
        submit=gettext_lazy("Execute the undo action"),
    )
    def undo(self, call: Call, form: ConsoleForm) -> Done:
        """Execute the undo action of the execution."""
        item, execution = self._locked(call)
        action = undo_of(execution)
        if action is None:
            raise errors.ExecutionNotUndoable
        asked = ActionRequest(
            integration=execution.integration, action=action, input=form.cleaned_data["input"], undoes=execution.id
        )
        started = execute_action(item, asked, ctx=call.ctx)
        said = _("The undo action waits for an approval.") if started.step else _("The undo action is executed.")
        return Done(said, html.page_url("integrations.execution", started.execution.public_id))

    @form_page(
        gettext_lazy("Retry dead letters"),
        form=RetryForm,
        scope=Scope.ACTIONS_EXECUTE,
        submit=gettext_lazy("Retry dead letters"),
    )
    def replay(self, call: Call, form: ConsoleForm) -> Done:
        """Retry the oldest dead letters that match the form."""
        criteria = Criteria(**{name: form.cleaned_data[name] for name in ("workflow", "integration", "failure")})
        done = retry_dead_letters(criteria, limit=form.cleaned_data["limit"], ctx=call.ctx)
        said = [
            _("{number} dead letters are retried with their envelopes and approvals.").format(number=len(done.retried))
        ]
        if done.refused:
            first = done.refused[0]
            said.append(
                _("{number} were not retried. First refusal, {named}: {detail}").format(
                    number=len(done.refused), named=named(first), detail=first.refusal.detail
                )
            )
        if done.has_more:
            said.append(_("There are more."))
        return Done(" ".join(said), f"{self.list_url()}?dead_letter=true")

    @action(Scope.ACTIONS_EXECUTE)
    def reconcile(self, call: Call) -> Done:
        """Record the outcome of an execution with an unknown outcome."""
        item, execution = self._locked(call)
        body = RECONCILE_EXECUTION.check({"outcome": call.sent("outcome"), "reason": call.sent("reason")})
        reconcile_execution(
            item, execution, succeeded=body["outcome"] == "succeeded", reason=body["reason"], ctx=call.ctx
        )
        return Done(_("The execution is {status}.").format(status=execution.status))

    def _locked(self, call: Call) -> tuple[WorkItem, Execution]:
        parsed = ids.parse_public_id(ids.EXECUTION, call.key)
        if parsed is None:
            raise errors.NotFound
        item, execution = locked_execution(parsed, ctx=call.ctx)
        call.subject = subject_of(item, execution=execution)
        return item, execution
