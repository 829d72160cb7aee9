"""Console pages of credentials."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.reauthentication import ALWAYS
from threada_site.identity import selectors
from threada_site.identity.admin.roles import SCOPE_CHOICES
from threada_site.identity.credentials import issue_credential, revoke_credential
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.models import Credential


class CredentialForm(ConsoleForm):
    intro = gettext_lazy(
        "A token of a service or an agent. It is shown once. Its scopes are limited by the roles of its holder. "
        "People issue their own tokens, under Personal tokens."
    )
    principal = forms.ChoiceField(label=gettext_lazy("Member"))
    label = forms.CharField(
        label=gettext_lazy("Label"), max_length=200, required=False, help_text=gettext_lazy("Purpose of the token.")
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), choices=SCOPE_CHOICES, widget=forms.CheckboxSelectMultiple
    )
    days = forms.IntegerField(label=gettext_lazy("Valid for days"), min_value=1, max_value=3660, initial=90)

    def prepare(self) -> None:
        people = selectors.principals_of_tenant(self.ctx.tenant_id).filter(is_active=True)
        people = people.exclude(kind=PrincipalKind.HUMAN.value)
        self.fields["principal"].choices = [  # type: ignore[attr-defined]
            (user.username, f"{user.username} ({user.kind})") for user in people[:1000]
        ]


def state_of(row: Credential) -> str:
    """Return the state of a credential: `live`, `expired` or `revoked`."""
    if row.revoked_at is not None:
        return "revoked"
    return "live" if row.is_live else "expired"


def issuer_of(row: Credential) -> str:
    """Return who issued a credential: `operator`, `self` or a name."""
    if row.issued_by is None:
        return "operator"
    return "self" if row.issued_by == row.user_id else getattr(row, "issuer", None) or _("somebody")


def _revoking(admin: Any, call: Call) -> Effects:
    credential = admin.find(call.key, ctx=call.ctx)
    return Effects(
        [
            _("Requests with %(name)s are refused from now on.") % {"name": credential.label or credential.hint},
            _("It belongs to %(name)s.") % {"name": credential.user.username},
            _("A revoked credential cannot be used again. Issue another one instead."),
        ]
    )


REVOKE = Confirmation(gettext_lazy("Revoke credential"), _revoking)


@admin.register(Credential)
class CredentialAdmin(TenantAdmin):
    id_prefix = ids.CREDENTIAL
    key = "-id"
    columns = (
        Column(gettext_lazy("Credential"), lambda row: html.code(f"{row.hint}…")),
        Column(gettext_lazy("State"), lambda row: html.badge(state_of(row))),
        Column(gettext_lazy("Member"), lambda row: row.user.username),
        Column(gettext_lazy("Issued by"), issuer_of),
        Column(gettext_lazy("Label"), lambda row: row.label or html.NOTHING, is_wide=True),
        Column(gettext_lazy("Expires"), lambda row: html.when(row.expires_at) or _("never")),
        Column(gettext_lazy("Last used"), lambda row: html.when(row.last_used_at) or _("never")),
    )
    about = gettext_lazy(
        "Tokens of this tenant, shown by their first characters. The tokens themselves are not stored."
    )
    nothing_yet = gettext_lazy("There are no credentials that you may see.")
    page_template = "identity/credential.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = selectors.credentials_of_tenant(ctx.tenant_id)
        return rows if is_steward(ctx) else rows.filter(user_id=ctx.principal_id)

    def page(self, row: Credential, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "state": state_of(row),
            "issuer": issuer_of(row),
            "revoke_url": reverse("admin:tenancy_credential_revoke", args=[row.public_id])
            if row.revoked_at is None
            else None,
        }

    @form_page(
        gettext_lazy("Issue a credential"),
        form=CredentialForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Issue credential"),
        step_up=ALWAYS,
    )
    def issue(self, call: Call, form: ConsoleForm) -> Done:
        said = form.cleaned_data
        principal = selectors.principal_of_tenant(call.ctx.tenant_id, said["principal"])
        if principal is None:
            raise errors.InvalidRequest("There is no such account in this tenant.")
        issued = issue_credential(
            principal=principal,
            scopes=said["scopes"],
            label=said["label"],
            expires_in=timedelta(days=said["days"]),
            ctx=call.ctx,
        )
        shows = {
            "secret": issued.token,
            "advice": _("Send it as Authorization: Bearer … It acts as {username}.").format(
                username=principal.username
            ),
            "onward": self.url_of(issued.credential),
        }
        return Done(_("The credential is issued"), shows=shows)

    @action(None, confirm=REVOKE)
    def revoke(self, call: Call) -> Done:
        parsed = ids.parse_public_id(ids.CREDENTIAL, call.key)
        credential = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if credential is None:
            raise errors.NotFound
        revoke_credential(credential, ctx=call.ctx)
        return Done(_("The credential is revoked. Requests with it are refused from now on."))
