"""Form that makes an integration from operations of a pasted OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import selectors
from integrations.configuration.configure import upsert_integration
from integrations.configuration.secrets import upsert_secret
from integrations.documents.openapi import MOST_CHARACTERS, integration_document, read_openapi
from integrations.models import StoredSecret
from telemetry.receipts.format import Subject
from threada_site.admin.actions import Call, sentences
from threada_site.admin.documents import as_yaml
from threada_site.admin.forms import CodeArea, ConsoleForm
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import ThreadaError


class OpenApiForm(ConsoleForm):
    """The document, the chosen operations and the secret. The document is stored nowhere."""

    template = "integrations/from_openapi.html"
    intro = gettext_lazy("Paste the document. Nothing is fetched. Show its operations, choose some, then create.")
    openapi = forms.CharField(
        label=gettext_lazy("OpenAPI document (YAML or JSON)"),
        max_length=MOST_CHARACTERS,
        strip=False,
        widget=CodeArea(12),
    )
    slug = forms.SlugField(label=gettext_lazy("Id of the integration"), max_length=63)
    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=200)
    base_url = forms.CharField(
        label=gettext_lazy("Address"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("Empty: the first server of the document."),
    )
    token = forms.CharField(
        label=gettext_lazy("Bearer token"),
        required=False,
        max_length=4000,
        widget=forms.PasswordInput({"autocomplete": "off"}),
        help_text=gettext_lazy("Stored under Secrets, for this address only. Empty: calls without authentication."),
    )

    def rework(self) -> bool:
        return "show" in self.data

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if not ids.is_slug(slug):
            raise forms.ValidationError(_("Use a to z, 0 to 9, - and _."))
        return slug

    @property
    def chosen(self) -> list[str]:
        return self.data.getlist("operation") if self.is_bound else []  # type: ignore[attr-defined]

    def shown_with(self) -> dict[str, Any]:
        text = self.data.get("openapi", "") if self.is_bound else ""
        if not text:
            return {}
        try:
            read = read_openapi(text)
        except ThreadaError as refusal:
            return {"refused": sentences(refusal)[:1]}
        return {"operations": read.operations, "chosen": self.chosen, "server": read.base_url}


def create_from_openapi(call: Call, form: OpenApiForm) -> str:
    """Create the integration and its secret. Return the slug of the integration."""
    read = read_openapi(form.cleaned_data["openapi"])
    slug = form.cleaned_data["slug"]
    call.subject = Subject(integration=slug)
    if not call.ctx.allows(Scope.INTEGRATIONS_MANAGE):
        raise errors.PermissionDenied("You do not hold integrations:manage on the tenant.")
    if selectors.integration_by_slug(slug, ctx=call.ctx) is not None:
        raise errors.Conflict(f"There is an integration {slug} already. Open it to change it.")
    spec: dict[str, Any] = {"base_url": form.cleaned_data["base_url"] or read.base_url}
    if form.cleaned_data["token"]:
        secret = f"{slug[:56]}_secret"
        if StoredSecret.objects.filter(tenant_id=call.ctx.tenant_id, slug=secret).exists():
            raise errors.Conflict(f"There is a secret {secret} already. Choose another id.")
        upsert_secret(secret, form.cleaned_data["token"], origins=[spec["base_url"]], ctx=call.ctx)
        spec["auth"] = {"scheme": "bearer", "secret": {"stored": secret}}
    document = integration_document(read, form.chosen, slug=slug, name=form.cleaned_data["name"], **spec)
    ctx = replace(call.ctx, source=as_yaml(document))
    upsert_integration(slug, document["spec"], ctx=ctx, name=form.cleaned_data["name"] or None)
    return slug
