"""Form and actions that the workflow builder shows."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from integrations.models import Action
from integrations.selectors import readable_integrations
from policies.admin.builder_sources import SOURCES, ActionChoice
from policies.documents.workflow import WorkflowDocument
from threada_site.kernel.context import ActingContext
from workitems.portal.build import build_form

_MOST_CHOICES = 500


def form_of(document: WorkflowDocument) -> SafeString:
    """Return the fields that a person gets who requests this workflow, as HTML."""
    zone = timezone.get_current_timezone()
    form = build_form(document.payload_schema, assert_format=document.assert_format, zone=zone)
    return render_to_string("workitems/portal/parts/preview.html", {"root": form.root})


def action_choices(ctx: ActingContext) -> list[ActionChoice]:
    """Return the actions of the integrations that the context may know of, by integration."""
    found = (
        readable_integrations(ctx)
        .filter(current_version__isnull=False)
        .values_list("current_version_id", "slug", "name")
    )
    integrations = {version: (slug, name or slug) for version, slug, name in found}
    rows = Action.objects.filter(tenant_id=ctx.tenant_id, integration_version_id__in=list(integrations))
    pairs = rows.values_list("integration_version_id", "slug")
    choices = [ActionChoice(action, *integrations[version]) for version, action in pairs]
    return sorted(choices, key=lambda choice: (choice.integration, choice.action))[:_MOST_CHOICES]


SOURCES.form_of, SOURCES.action_choices = form_of, action_choices
