"""Console pages of secrets: names, origins and users. A value is entered once and never shown again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import selectors
from integrations.configuration.secrets import remove_secret, upsert_secret, used_by
from integrations.models import StoredSecret
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope


class _ValueForm(ConsoleForm):
    intro = gettext_lazy("The value is stored encrypted, sent to these addresses only, and never shown again.")
    value = forms.CharField(
        label=gettext_lazy("Value"), strip=False, widget=forms.PasswordInput({"autocomplete": "off"})
    )
    origins = forms.CharField(
        label=gettext_lazy("Allowed origins"),
        required=False,
        help_text=gettext_lazy(
            "https://host[:port][/prefix], separated by blanks; mail servers: smtps:// or smtp+starttls://. Leave it "
            "empty for a secret that only verifies callbacks."
        ),
    )

    def prepare(self) -> None:
        if self.row is not None:
            self.initial = {"origins": " ".join(self.row.origins)}


class NewSecretForm(_ValueForm):
    secret_id = forms.SlugField(label=gettext_lazy("Name"), max_length=63)
    field_order = ("secret_id", "value", "origins")


class NewValueForm(_ValueForm):
    pass


def _removing(admin: Any, call: Call) -> Effects:
    secret = admin.find(call.key, ctx=call.ctx)
    named = ", ".join(used_by(secret.slug, ctx=call.ctx))
    return Effects(
        [
            _("The value of the secret %(name)s is deleted and cannot be restored.") % {"name": secret.slug},
            _("Used by: %(names)s.") % {"names": named} if named else _("No integration uses it."),
        ]
    )


REMOVE = Confirmation(gettext_lazy("Delete secret"), _removing)


@admin.register(StoredSecret)
class StoredSecretAdmin(TenantAdmin):
    heading = gettext_lazy("Secrets")
    scope = Scope.INTEGRATIONS_MANAGE
    key = "slug"
    columns = (
        Column(gettext_lazy("Secret"), lambda row: row.slug),
        Column(gettext_lazy("Origins"), lambda row: html.tags(row.origins), is_wide=True),
        Column(gettext_lazy("Value"), lambda row: f"number {row.number}"),
        Column(gettext_lazy("Since"), lambda row: html.when(row.changed_at)),
    )
    about = gettext_lazy("Credentials of integrations. Documents refer to a secret as {stored: name}.")
    nothing_yet = gettext_lazy("No secret is stored here.")
    page_template = "integrations/secret.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.stored_secrets(ctx)

    def page(self, row: StoredSecret, *, ctx: ActingContext) -> dict[str, Any]:
        return {"used_by": used_by(row.slug, ctx=ctx)}

    @form_page(
        gettext_lazy("New secret"),
        form=NewSecretForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        submit=gettext_lazy("Store secret"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = form.cleaned_data["secret_id"]
        if not ids.is_slug(slug):
            raise errors.InvalidRequest("A name has lower-case letters, digits, - and _, and begins with one of them.")
        if self.rows(call.ctx).filter(slug=slug).exists():
            raise errors.Conflict(f"There is a secret {slug} already. Open it to give it a new value.")
        _put(call, form, slug)
        return Done(
            _("The secret {slug} is stored.").format(slug=slug), html.page_url("integrations.storedsecret", slug)
        )

    @form_page(
        gettext_lazy("New value"),
        form=NewValueForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        of_row=True,
        submit=gettext_lazy("Store value"),
    )
    def new_value(self, call: Call, form: ConsoleForm) -> Done:
        _put(call, form, call.key)
        return Done(_("Calls use the new value now."))

    @action(Scope.INTEGRATIONS_MANAGE, confirm=REMOVE)
    def remove(self, call: Call) -> Done:
        """Delete the secret."""
        found = ids.is_slug(call.key) and self.rows(call.ctx).select_for_update().filter(slug=call.key).first()
        if not found:
            raise errors.NotFound
        remove_secret(found, ctx=call.ctx)
        return Done(_("The secret is deleted."), self.list_url())


def _put(call: Call, form: ConsoleForm, slug: str) -> None:
    if not call.ctx.allows(Scope.INTEGRATIONS_MANAGE):
        raise errors.PermissionDenied("You do not hold integrations:manage on the tenant.")
    upsert_secret(slug, form.cleaned_data["value"], origins=form.cleaned_data["origins"].split(), ctx=call.ctx)
