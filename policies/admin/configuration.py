"""Console pages of channels, workflows and lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from policies import selectors
from policies.admin.consequences import NEW_ITEMS, NEW_WORKFLOW_VERSION
from policies.admin.overlays import new_overlay_url
from policies.admin.workflow_builder import WorkflowBuilderForm
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.texts import list_text, workflow_text
from policies.configuration.workflows import upsert_workflow
from policies.documents.list import parse_list
from policies.documents.workflow import parse_workflow
from policies.models import Channel, List, ListVersion, Workflow
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.documents import one_document, with_lines
from threada_site.admin.forms import CodeArea, ConsoleForm, DocumentArea, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.patch import patched
from threada_site.kernel.errors import FieldError

SLUG_RULE = gettext_noop("a to z, 0 to 9, - and _; at most 63 characters. It cannot be changed later.")
SLUG_HELP = gettext_lazy(SLUG_RULE)
_VERSIONS_SHOWN = 50


def read_slug(text: str) -> str:
    """Return `text` if it is a valid id. Raises `InvalidRequest`."""
    if not ids.is_slug(text):
        raise errors.InvalidRequest("Choose another id.", errors=[FieldError("id", SLUG_RULE)])
    return text


class ChannelForm(ConsoleForm):
    intro = gettext_lazy("A channel is a source of requests. Saving an existing one renames it.")
    slug = forms.CharField(label=gettext_lazy("Id"), max_length=63, help_text=SLUG_HELP)
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200, required=False)

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            self.initial = {"name": self.row.name}


@admin.register(Channel)
class ChannelAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Channel"), lambda channel: channel.slug),
        Column(gettext_lazy("Name"), lambda channel: channel.name or html.NOTHING, is_wide=True),
        Column(gettext_lazy("Made"), lambda channel: html.when(channel.created_at)),
    )
    about = gettext_lazy("Sources of requests. A workflow can require a channel, and policies can apply to one.")
    nothing_yet = gettext_lazy("There is no channel. Create one, or apply a document of kind: Channel.")
    page_template = "policies/channel.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.channels(ctx)

    def page(self, row: Channel, *, ctx: ActingContext) -> dict[str, Any]:
        overlays = selectors.overlays(ctx).filter(scope_kind="channel", scope_slug=row.slug)
        return {
            "overlays": overlays.order_by("policy__slug")[:50],
            "overlay_url": new_overlay_url(ctx, scope=f"channel/{row.slug}"),
        }

    @form_page(
        gettext_lazy("New channel"),
        form=ChannelForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Create channel"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = read_slug(form.cleaned_data["slug"])
        call.subject = Subject(channel=slug)
        if selectors.channel_by_slug(slug, ctx=call.ctx) is not None:
            raise errors.Conflict(f"The channel {slug} already exists.")
        result = upsert_channel(slug, name=form.cleaned_data["name"], ctx=call.ctx)
        return Done(_("The channel {slug} was created.").format(slug=slug), self.url_of(result.row))

    @form_page(gettext_lazy("Rename"), form=ChannelForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def rename(self, call: Call, form: ConsoleForm) -> Done:
        upsert_channel(call.key, name=form.cleaned_data["name"], ctx=call.ctx)
        return Done(_("Channel renamed."))


class WorkflowForm(ConsoleForm):
    intro = gettext_lazy("A change creates a new version for new work items; existing work items keep their version.")
    document = forms.CharField(
        label=gettext_lazy("Document (YAML or JSON)"), strip=False, widget=DocumentArea("Workflow")
    )

    def prepare(self) -> None:
        if self.row is None:
            self.initial = {"document": _NEW_WORKFLOW}
        else:
            self.initial = {"document": workflow_text(self.row)}


_NEW_WORKFLOW = """\
kind: Workflow
id: my_workflow
spec:
  name: My workflow
  channel_required: false
  payload_schema:
    type: object
    required: [question]
    properties:
      question: {type: string}
  actions: []
"""


@admin.register(Workflow)
class WorkflowAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Workflow"), lambda workflow: workflow.slug),
        Column(gettext_lazy("Name"), lambda workflow: workflow.name or html.NOTHING, is_wide=True),
        Column(gettext_lazy("Version"), lambda workflow: workflow.current_version.number),
        Column(gettext_lazy("Actions"), lambda workflow: html.tags(workflow.current_version.spec["actions"])),
        Column(
            gettext_lazy("Channel"),
            lambda workflow: "required" if workflow.current_version.spec["channel_required"] else html.NOTHING,
        ),
    )
    about = gettext_lazy("Kinds of work: the required payload and the allowed actions.")
    nothing_yet = gettext_lazy("There is no workflow. Create one, or apply a document of kind: Workflow.")
    page_template = "policies/workflow.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.workflows(ctx)

    def page(self, row: Workflow, *, ctx: ActingContext) -> dict[str, Any]:
        assert row.current_version is not None  # noqa: S101 - selectors leave out workflows without one
        return {
            "version": row.current_version,
            "document": workflow_text(row),
            "versions": selectors.workflow_versions(row).defer("spec").order_by("-number")[:_VERSIONS_SHOWN],
            "overlays": selectors.applying(selectors.overlays(ctx), workflow=row.slug)[:50],
            "overlay_url": new_overlay_url(ctx, scope=f"workflow/{row.slug}"),
            "policy_url": reverse("admin:policies_policy_new") if ctx.allows(Scope.POLICIES_WRITE) else "",
        }

    @form_page(
        gettext_lazy("New workflow"),
        form=WorkflowForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Create workflow"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        with with_lines(document):
            parsed = parse_workflow(document.value)
            if parsed.id is None:
                raise errors.DocumentInvalid("Name the workflow: id: my_workflow.")
            call.subject = Subject(workflow=parsed.id)
            if selectors.all_workflows(call.ctx).filter(slug=parsed.id).exists():
                raise errors.Conflict(f"The workflow {parsed.id} already exists. Open it to change it.")
            result = upsert_workflow(parsed.id, parsed, ctx=replace(call.ctx, source=document.written))
        return Done(_("The workflow {id} was created.").format(id=parsed.id), self.url_of(result.row))

    @form_page(
        gettext_lazy("New version"),
        form=WorkflowForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Create version"),
        confirm=NEW_WORKFLOW_VERSION,
    )
    def new_version(self, call: Call, form: ConsoleForm) -> Done:
        call.subject = Subject(workflow=call.key)
        document = one_document(form.cleaned_data["document"])
        with with_lines(document):
            parsed = parse_workflow(document.value)
            if parsed.id not in (None, call.key):
                raise errors.DocumentInvalid(f"This document is of the workflow {parsed.id}, not of {call.key}.")
            result = upsert_workflow(call.key, parsed, ctx=replace(call.ctx, source=document.written))
        return Done(
            _("The document is unchanged.") if result.change == "unchanged" else _("The new version is in use.")
        )

    @form_page(
        gettext_lazy("Build a workflow"),
        form=WorkflowBuilderForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Create workflow"),
    )
    def build(self, call: Call, form: WorkflowBuilderForm) -> Done:
        return self._built(call, form)

    @form_page(
        gettext_lazy("Change in a form"),
        form=WorkflowBuilderForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Create version"),
        confirm=NEW_WORKFLOW_VERSION,
    )
    def rebuild(self, call: Call, form: WorkflowBuilderForm) -> Done:
        return self._built(call, form)

    def _built(self, call: Call, form: WorkflowBuilderForm) -> Done:
        value = form.document()
        parsed = parse_workflow(value)
        slug = call.key or str(parsed.id)
        call.subject = Subject(workflow=slug)
        if not call.key and selectors.all_workflows(call.ctx).filter(slug=slug).exists():
            raise errors.Conflict(f"The workflow {slug} already exists. Open it to change it.")
        result = upsert_workflow(slug, parsed, ctx=replace(call.ctx, source=form.written()))
        return Done(
            _("The document is unchanged.") if result.change == "unchanged" else _("The new version is in use."),
            self.url_of(result.row),
        )


class ListForm(ConsoleForm):
    intro = gettext_lazy(
        "One item per line. Rules read it with: x in lists.name. A change creates a new version for the next decisions."
    )
    slug = forms.CharField(label=gettext_lazy("Id"), max_length=63, help_text=SLUG_HELP)
    items = forms.CharField(label=gettext_lazy("Items"), widget=CodeArea(16), required=False)

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            self.initial = {"items": "\n".join(map(str, self.row.current_version.spec))}


@admin.register(List)
class ListAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("List"), lambda row: row.slug),
        Column(gettext_lazy("Version"), lambda row: row.current_version.number),
        Column(gettext_lazy("Items"), lambda row: len(row.current_version.spec)),
        Column(gettext_lazy("Changed"), lambda row: html.when(row.current_version.created_at)),
    )
    about = gettext_lazy("Named values that rules read, such as sanctioned vendors.")
    nothing_yet = gettext_lazy("There is no list. Create one, or apply a document of kind: List.")
    page_template = "policies/list.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.lists(ctx)

    def page(self, row: List, *, ctx: ActingContext) -> dict[str, Any]:
        versions = ListVersion.objects.filter(tenant_id=row.tenant_id, list=row).defer("spec").order_by("-number")
        assert row.current_version is not None  # noqa: S101 - selectors leave out lists without one
        items = row.current_version.spec
        return {"items": items[:500], "more": max(0, len(items) - 500), "versions": versions[:_VERSIONS_SHOWN]}

    @form_page(
        gettext_lazy("New list"), form=ListForm, scope=Scope.POLICIES_PUBLISH, submit=gettext_lazy("Create list")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = read_slug(form.cleaned_data["slug"])
        if List.objects.filter(tenant_id=call.ctx.tenant_id, slug=slug).exists():
            raise errors.Conflict(f"The list {slug} already exists. Open it to change it.")
        result = upsert_list(slug, parse_list({"items": _items(form)}), ctx=call.ctx)
        return Done(_("The list {slug} was created.").format(slug=slug), self.url_of(result.row))

    @form_page(
        gettext_lazy("Change items"),
        form=ListForm,
        scope=Scope.POLICIES_PUBLISH,
        of_row=True,
        submit=gettext_lazy("Save items"),
        confirm=NEW_ITEMS,
    )
    def change_items(self, call: Call, form: ConsoleForm) -> Done:
        before = {str(item): item for item in form.row.current_version.spec}
        items = [before.get(item, item) for item in _items(form)]
        text = patched(list_text(form.row), {"kind": "List", "id": call.key, "spec": {"items": items}})
        upsert_list(call.key, parse_list({"items": items}), ctx=replace(call.ctx, source=text))
        return Done(_("The items are in use."))


def _items(form: ConsoleForm) -> list[str]:
    return [line.strip() for line in form.cleaned_data["items"].splitlines() if line.strip()]
