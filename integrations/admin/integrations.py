"""Console pages of integrations. Shows secrets as references only, never their values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import selectors
from integrations.admin.from_curl import CurlForm, create_from_curl
from integrations.admin.from_openapi import OpenApiForm, create_from_openapi
from integrations.admin.test_calls import SEND, TestCallForm
from integrations.admin.tools import ACCEPT, ToolsForm
from integrations.configuration.configure import upsert_integration
from integrations.configuration.health import health_of
from integrations.configuration.parsed_documents import document_of
from integrations.configuration.simulation import is_simulated
from integrations.configuration.texts import integration_text
from integrations.connectors.answer_conditions import read_tested
from integrations.documents.mcp_actions import MCP
from integrations.models import Integration, IntegrationVersion
from integrations.probes.run import request_test, request_test_call
from integrations.tools.accepting import accept_tools
from integrations.tools.reading import enqueue_reading
from integrations.tools.usable import WAITING, tool_list_of, tools_of
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.documents import as_yaml, one_document, with_lines
from threada_site.admin.forms import ConsoleForm, DocumentArea, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.text_diff import diff_rows
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope

_VERSIONS_SHOWN = 50
_NEW_INTEGRATION = """\
kind: Integration
id: int_example
name: Example system
spec:
  connector: http
  base_url: https://api.example.com
  idempotent: true
  auth: {scheme: bearer, secret: {env: EXAMPLE_TOKEN}}
  actions:
    notify:
      method: POST
      path: /notices
      body: {item: "${item.id}"}
"""


class IntegrationForm(ConsoleForm):
    intro = gettext_lazy(
        "A change creates a new version for new executions; existing envelopes keep their version. Secrets are "
        "referenced, never written: {stored: name} is listed under Secrets with its origins, {env: NAME} must be "
        "listed in THREADA_SECRET_REFS by the instance's operator, with the origin of base_url."
    )
    document = forms.CharField(
        label=gettext_lazy("Document (YAML or JSON)"), strip=False, widget=DocumentArea("Integration")
    )

    def prepare(self) -> None:
        self.initial = {"document": integration_text(self.row) if self.row else _NEW_INTEGRATION}


def _replacing(_admin: Any, form: ConsoleForm) -> Effects:
    """Return the difference of two versions. A document that cannot be parsed is refused here."""
    document = one_document(form.cleaned_data["document"])
    with with_lines(document):
        read_tested(_document_in(document.value, form.row.slug)["spec"])
    sentences = [
        _("New executions get the new version. Envelopes that were built keep theirs."),
        _("Executions that wait for an approval get a new envelope and must be approved again."),
    ]
    return Effects(sentences, diff_rows(integration_text(form.row), document.written))


@admin.register(Integration)
class IntegrationAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Integration"), lambda row: row.slug),
        Column(gettext_lazy("Name"), lambda row: row.name or html.NOTHING, is_wide=True),
        Column(
            gettext_lazy("Connector"),
            lambda row: f"{row.connector} ({_('simulated')})" if is_simulated(row.connector) else row.connector,
        ),
        Column(gettext_lazy("Version"), lambda row: row.current_version.number),
        Column(gettext_lazy("Actions"), lambda row: html.tags(sorted(row.current_version.spec["actions"]))),
    )
    about = gettext_lazy("Configured external systems and their operations, which workflows may allow.")
    nothing_yet = gettext_lazy("There is no integration. Make one, or apply a document of kind: Integration.")
    page_template = "integrations/integration.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.configured_integrations(ctx).filter(current_version__isnull=False)

    def page(self, row: Integration, *, ctx: ActingContext) -> dict[str, Any]:
        assert row.current_version is not None  # noqa: S101 - rows() leaves out those without one
        document = document_of(row.current_version)
        may_test = ctx.allows(Scope.INTEGRATIONS_MANAGE, integration=row.id)
        versions = IntegrationVersion.objects.filter(tenant_id=row.tenant_id, integration=row).defer("spec")
        return {
            "version": row.current_version,
            "document": integration_text(row),
            "actions": sorted(row.current_version.spec["actions"].items()),
            "secrets": [str(reference) for reference in document.secret_references],
            "versions": versions.order_by("-number")[:_VERSIONS_SHOWN],
            "health": None
            if row.connector == "workflow"
            else next(iter(health_of([row], now=clock.now(), ctx=ctx)), None),
            "token": selectors.access_token(row.current_version) if document.auth and document.auth.token_url else None,
            "may_test": may_test,
            **(_last_test(row) if may_test else {}),
            **(_tools(row) if row.connector == MCP else {}),
        }

    @form_page(
        gettext_lazy("New integration"),
        form=IntegrationForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        submit=gettext_lazy("Create integration"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = _put(call, form, slug=None)
        return Done(
            _("The integration {slug} was created.").format(slug=slug), html.page_url("integrations.integration", slug)
        )

    @form_page(
        gettext_lazy("From a curl command"),
        form=CurlForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        submit=gettext_lazy("Create integration"),
    )
    def from_curl(self, call: Call, form: CurlForm) -> Done:
        slug = create_from_curl(call, form)
        return Done(
            _("The integration {slug} was created.").format(slug=slug), html.page_url("integrations.integration", slug)
        )

    @form_page(
        gettext_lazy("From an OpenAPI document"),
        form=OpenApiForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        submit=gettext_lazy("Create integration"),
    )
    def from_openapi(self, call: Call, form: OpenApiForm) -> Done:
        slug = create_from_openapi(call, form)
        return Done(
            _("The integration {slug} was created.").format(slug=slug), html.page_url("integrations.integration", slug)
        )

    @form_page(
        gettext_lazy("New version"),
        form=IntegrationForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        of_row=True,
        submit=gettext_lazy("Create version"),
        confirm=FormConfirmation(_replacing),
    )
    def new_version(self, call: Call, form: ConsoleForm) -> Done:
        _put(call, form, slug=call.key)
        return Done(_("The new version is in force."))

    @form_page(
        gettext_lazy("Test call"),
        form=TestCallForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        of_row=True,
        submit=gettext_lazy("Send test call"),
        confirm=SEND,
    )
    def test_call(self, call: Call, form: TestCallForm) -> Done:
        call.subject = Subject(integration=call.key)
        request_test_call(form.row, form.asked, ctx=call.ctx)
        return Done(_("The call is being made. This page shows its request and response."))

    @form_page(
        gettext_lazy("Accept tools"),
        form=ToolsForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        of_row=True,
        submit=gettext_lazy("Accept tools"),
        confirm=ACCEPT,
    )
    def accept_tools(self, call: Call, form: ToolsForm) -> Done:
        call.subject = Subject(integration=call.key)
        accepted = accept_tools(form.row, form.chosen, ctx=call.ctx)
        return Done(_("{number} tools are accepted.").format(number=len(accepted)))

    @action(Scope.INTEGRATIONS_MANAGE)
    def read_tools(self, call: Call) -> Done:
        """Have a worker read the tools of the MCP server again."""
        integration = self._managed(call)
        enqueue_reading(integration.tenant_id, integration.id)
        return Done(_("The tools are being read. Open this page again in a few seconds."))

    @action(Scope.INTEGRATIONS_MANAGE)
    def test(self, call: Call) -> Done:
        """Have a worker check the secrets, the address and a connection to the host. Executes nothing."""
        request_test(self._managed(call), ctx=call.ctx)
        return Done(_("The integration is being tested. This page shows the result."))

    def _managed(self, call: Call) -> Integration:
        """Return the integration of a call, which the caller may manage. It becomes the subject of the call."""
        integration = self.rows(call.ctx).filter(slug=call.key).first() if ids.is_slug(call.key) else None
        if integration is None or integration.current_version is None:
            raise errors.NotFound
        _require(call.ctx, integration)
        call.subject = Subject(integration=integration.slug)
        return integration


def _tools(row: Integration) -> dict[str, Any]:
    tools = list(tools_of(row))
    return {
        "reading": tool_list_of(row),
        "tools": [
            (tool, tool.status.value, (tool.accepted or tool.found or {}).get("description", "")) for tool in tools
        ],
        "waiting_tools": sum(tool.status in WAITING for tool in tools),
    }


def _last_test(row: Integration) -> dict[str, Any]:
    """Return the last test with request and response as text. A receiver can answer anything."""
    test = selectors.integration_tests(row).first()
    if test is None or not test.action:
        return {"test": test}
    return {"test": test, "sent": as_yaml(test.request), "answered": as_yaml(test.response or {})}


def _put(call: Call, form: ConsoleForm, *, slug: str | None) -> str:
    """Create an integration (without `slug`) or change it as the document says. Return its slug."""
    document = one_document(form.cleaned_data["document"])
    with with_lines(document):
        value = _document_in(document.value, slug)
        named = value["id"]
        call.subject = Subject(integration=named)
        existing = selectors.integration_by_slug(named, ctx=call.ctx)
        if slug is None and existing is not None:
            raise errors.Conflict(f"There is an integration {named} already. Open it to change it.")
        _require(call.ctx, existing)
        name = value.get("name", "")
        ctx = replace(call.ctx, source=document.written)
        upsert_integration(named, value["spec"], ctx=ctx, name=name if name and isinstance(name, str) else None)
    return named


def _document_in(value: Any, slug: str | None) -> dict[str, Any]:
    """Return the document of an integration, named `slug` unless that is None. Raise `DocumentInvalid`."""
    if not isinstance(value, dict) or not isinstance(value.get("spec"), dict) or value.get("kind") != "Integration":
        raise errors.DocumentInvalid("Write kind: Integration, id and spec.")
    named = value.get("id")
    if not isinstance(named, str) or not ids.is_slug(named) or slug not in (None, named):
        raise errors.DocumentInvalid(f"Name the integration: id: {slug or 'int_example'}.")
    return value


def _require(ctx: ActingContext, integration: Integration | None) -> None:
    if not ctx.allows(Scope.INTEGRATIONS_MANAGE, integration=integration.id if integration else None):
        raise errors.PermissionDenied("You do not hold integrations:manage here.")
