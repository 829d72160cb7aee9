"""Console page of the reader's own tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity import selectors
from threada_site.identity.admin.credentials import issuer_of, state_of
from threada_site.identity.credentials import issue_credential, revoke_credential
from threada_site.identity.tenants import personal_token_days, set_personal_token_days
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import PersonalToken, User


class TokenForm(ConsoleForm):
    intro = gettext_lazy("A token acts in your name through the API. It is shown once. Only you can create it.")
    label = forms.CharField(label=gettext_lazy("Name"), max_length=200, help_text=gettext_lazy("Purpose of the token."))
    scopes = forms.MultipleChoiceField(label=gettext_lazy("Scopes"), widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label=gettext_lazy("Valid for days"), min_value=1)

    def prepare(self) -> None:
        permissions = selectors.permissions_of_principal(self.ctx.principal_id, tenant_id=self.ctx.tenant_id)
        held = selectors.scopes_somewhere(permissions)
        self.fields["scopes"].choices = [(scope.value, scope.value) for scope in sorted(held)]  # type: ignore[attr-defined]
        most = personal_token_days(self.ctx.tenant_id)
        self.fields["days"].help_text = _("At most {most}.").format(most=most)
        self.initial = {"days": min(30, most)}


class LongestLifeForm(ConsoleForm):
    intro = gettext_lazy("Tokens that exist keep their expiry.")
    days = forms.IntegerField(
        label=gettext_lazy("Longest life of personal tokens in days"), min_value=1, max_value=3660
    )

    def prepare(self) -> None:
        self.initial = {"days": personal_token_days(self.ctx.tenant_id)}


def _revoking(admin: Any, call: Call) -> Effects:
    credential = admin.find(call.key, ctx=call.ctx)
    return Effects(
        [
            _("Requests with %(name)s are refused from now on.") % {"name": credential.label or credential.hint},
            _("It belongs to %(name)s.") % {"name": credential.user.username},
            _("A revoked token cannot be used again. Create another one instead."),
        ]
    )


REVOKE = Confirmation(gettext_lazy("Revoke token"), _revoking)


@admin.register(PersonalToken)
class PersonalTokenAdmin(TenantAdmin):
    heading = gettext_lazy("Personal tokens")
    id_prefix = ids.CREDENTIAL
    key = "-id"
    columns = (
        Column(gettext_lazy("Token"), lambda row: html.code(f"{row.hint}…")),
        Column(gettext_lazy("Name"), lambda row: row.label or html.NOTHING, is_wide=True),
        Column(gettext_lazy("State"), lambda row: html.badge(state_of(row))),
        Column(gettext_lazy("Issued by"), issuer_of),
        Column(gettext_lazy("Expires"), lambda row: html.when(row.expires_at) or _("never")),
        Column(gettext_lazy("Last used"), lambda row: html.when(row.last_used_at) or _("never")),
    )
    about = gettext_lazy(
        "Your tokens in this tenant. Revoke every token that you do not know. Stewards can see and revoke them too."
    )
    nothing_yet = gettext_lazy("You have no tokens.")
    page_template = "identity/credential.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for everybody who is signed in to a tenant."""
        return getattr(request, "acting_context", None) is not None

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.personal_tokens(ctx)

    def page_title(self, row: PersonalToken) -> str:
        return _("personal token {hint}").format(hint=row.label or row.hint)

    def page(self, row: PersonalToken, *, ctx: ActingContext) -> dict[str, Any]:
        revoke_url = reverse("admin:tenancy_personaltoken_revoke", args=[row.public_id])
        return {
            "state": state_of(row),
            "issuer": issuer_of(row),
            "revoke_url": revoke_url if row.revoked_at is None else None,
        }

    @form_page(
        gettext_lazy("Create a personal token"),
        form=TokenForm,
        scope=None,
        submit=gettext_lazy("Create token"),
        step_up=True,
    )
    def create(self, call: Call, form: ConsoleForm) -> Done:
        said = form.cleaned_data
        issued = issue_credential(
            principal=User.objects.get(id=call.ctx.principal_id),
            scopes=said["scopes"],
            label=said["label"],
            expires_in=timedelta(days=said["days"]),
            ctx=call.ctx,
        )
        shows = {
            "secret": issued.token,
            "advice": _("Send it as Authorization: Bearer … Everything done with it is done in your name."),
            "onward": self.url_of(issued.credential),
        }
        return Done(_("The token is created"), shows=shows)

    @form_page(gettext_lazy("Change longest life"), form=LongestLifeForm, scope=Scope.WORKFLOW_MANAGE)
    def longest_life(self, call: Call, form: ConsoleForm) -> Done:
        set_personal_token_days(form.cleaned_data["days"], ctx=call.ctx)
        return Done(_("The longest life of personal tokens is changed."))

    @action(None, confirm=REVOKE)
    def revoke(self, call: Call) -> Done:
        parsed = ids.parse_public_id(ids.CREDENTIAL, call.key)
        token = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if token is None:
            raise errors.NotFound
        revoke_credential(token, ctx=call.ctx)
        return Done(_("The token is revoked. Requests with it are refused from now on."))
