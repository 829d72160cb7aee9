"""Form that makes an integration from a pasted `curl` command, and stores its secret apart from the document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import selectors
from integrations.configuration.configure import upsert_integration
from integrations.configuration.secrets import upsert_secret
from integrations.documents.curl import MOST_CHARACTERS, CurlImport, import_curl
from integrations.models import StoredSecret
from telemetry.receipts.format import Subject
from threada_site.admin.actions import Call, sentences
from threada_site.admin.documents import as_yaml
from threada_site.admin.forms import CodeArea, ConsoleForm
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import DocumentInvalid


class CurlForm(ConsoleForm):
    """The command and the names of what it becomes. The command is stored nowhere."""

    template = "integrations/from_curl.html"
    intro = gettext_lazy(
        "Paste a command that works. It is not run. A secret in it is stored under Secrets, for this address only, and "
        "the document refers to it."
    )
    command = forms.CharField(
        label=gettext_lazy("curl command"), max_length=MOST_CHARACTERS, widget=CodeArea(8, {"data-never-kept": ""})
    )
    slug = forms.SlugField(label=gettext_lazy("Id of the integration"), max_length=63)
    name = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=200)
    action = forms.SlugField(label=gettext_lazy("Name of the action"), max_length=63)
    fields_taken = forms.CharField(
        label=gettext_lazy("Values from the request"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy(
            "Names of members of the body or the query, separated by commas. Each call sends the field of the request "
            "with the same name there. Empty: each call sends the values of the command."
        ),
    )
    secret_id = forms.SlugField(
        label=gettext_lazy("Name of the secret"),
        required=False,
        max_length=63,
        help_text=gettext_lazy("If the command contains one. Empty: the id of the integration and _secret."),
    )

    def rework(self) -> bool:
        return "show" in self.data

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data
        for name in ("slug", "action", "secret_id"):
            if found.get(name) and not ids.is_slug(found[name]):
                self.add_error(name, _("Use a to z, 0 to 9, - and _."))
        return found

    def shown_with(self) -> dict[str, Any]:
        if not self.is_bound or not self.is_valid():
            return {}
        try:
            read = self.read()
        except DocumentInvalid as refusal:
            return {"refused": sentences(refusal)[:1]}
        return {"document": as_yaml(self.document(read)), "notes": read.notes, "has_secret": bool(read.secret)}

    def read(self) -> CurlImport:
        """Return the integration of the command. Raises `DocumentInvalid`."""
        found = import_curl(self.cleaned_data["command"])
        names = (name.strip() for name in self.cleaned_data["fields_taken"].split(","))
        found.take_from_request(filter(None, names))
        return found

    def document(self, read: CurlImport) -> dict[str, Any]:
        chosen = self.cleaned_data
        return read.document(chosen["slug"], name=chosen["name"], action=chosen["action"], secret=self.secret_name)

    @property
    def secret_name(self) -> str:
        return self.cleaned_data["secret_id"] or f"{self.cleaned_data['slug'][:56]}_secret"


def create_from_curl(call: Call, form: CurlForm) -> str:
    """Create the integration and its secret. Return the slug of the integration.

    Raises `Conflict` if the integration or the secret exists, and the refusals of both services.
    """
    read = form.read()
    slug, secret = form.cleaned_data["slug"], form.secret_name
    call.subject = Subject(integration=slug)
    if not call.ctx.allows(Scope.INTEGRATIONS_MANAGE):
        raise errors.PermissionDenied("You do not hold integrations:manage on the tenant.")
    if selectors.integration_by_slug(slug, ctx=call.ctx) is not None:
        raise errors.Conflict(f"There is an integration {slug} already. Open it to change it.")
    if read.auth is not None:
        if StoredSecret.objects.filter(tenant_id=call.ctx.tenant_id, slug=secret).exists():
            raise errors.Conflict(f"There is a secret {secret} already. Choose another name for the secret.")
        upsert_secret(secret, read.secret, origins=[read.base_url], ctx=call.ctx)
    document = form.document(read)
    ctx = replace(call.ctx, source=as_yaml(document))
    upsert_integration(slug, document["spec"], ctx=ctx, name=form.cleaned_data["name"] or None)
    return slug
