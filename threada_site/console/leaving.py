"""Console page on which a person leaves the tenant."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.identity.departure.leave import leave_tenant


class LeavingForm(ConsoleForm):
    """Form that confirms a departure by the id of the tenant."""

    tenant = forms.CharField(
        label=gettext_lazy("Id of the tenant"),
        max_length=63,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    intro = gettext_lazy(
        "Leaving ends your sessions, personal tokens, delegations and claims in this tenant. Your votes on open steps "
        "no longer count. Only a new invitation brings you back."
    )

    def prepare(self) -> None:
        self.fields["tenant"].help_text = _("Enter {tenant_slug} to confirm.").format(tenant_slug=self.ctx.tenant_slug)

    def clean_tenant(self) -> str:
        given: str = self.cleaned_data["tenant"].strip()
        if given != self.ctx.tenant_slug:
            raise forms.ValidationError(_("Enter {tenant_slug}.").format(tenant_slug=self.ctx.tenant_slug))
        return given


@require_http_methods(["GET", "HEAD", "POST"])
def leaving_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the form, and end the membership. The session ends with it."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    is_sent = request.method == "POST"
    form = LeavingForm(request.POST if is_sent else None, ctx=ctx)
    problems: list[str] = []
    if is_sent and form.is_valid():

        def leave(call: Call) -> Done:
            leave_tenant(ctx=call.ctx)
            return Done(_("You are no longer a member of {tenant_slug}.").format(tenant_slug=call.ctx.tenant_slug))

        outcome = carry_out(Call(request, ctx, ""), None, leave)
        if isinstance(outcome, Done):
            request.session.flush()
            request.user = AnonymousUser()
            gone = {"title": _("You have left the tenant"), "message": outcome.message, "is_done": True}
            return render(request, "console/account_link.html", {**frame, **gone, "has_permission": False})
        problems = sentences(outcome)
    context = {
        **frame,
        "list_title": _("Dashboard"),
        "list_url": reverse("admin:index"),
        "title": _("Leave this tenant"),
        "form": form,
        "problems": problems,
        "submit": _("Leave this tenant"),
    }
    return render(request, "console/form.html", context, status=422 if is_sent else 200)
