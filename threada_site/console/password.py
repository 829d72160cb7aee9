"""Console page for changing one's own password."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.admin.reauthentication import count_wrong_password
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import User

WRONG: Final = "wrong"


class PasswordForm(ConsoleForm):
    """Form with the current and the new password."""

    old_password = forms.CharField(
        label=gettext_lazy("Current password"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )
    new_password = forms.CharField(
        label=gettext_lazy("New password"),
        strip=False,
        help_text=gettext_lazy("At least 12 characters."),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label=gettext_lazy("New password again"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def clean_old_password(self) -> str:
        given: str = self.cleaned_data["old_password"]
        if not self.row.check_password(given):
            raise forms.ValidationError(_("This is not your current password."), code=WRONG)
        return given

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new_password"):
            raise forms.ValidationError(_("The two passwords differ."))
        return again


@require_http_methods(["GET", "HEAD", "POST"])
def password_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the form, and change the password. The session continues."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    user = User.objects.get(pk=ctx.principal_id)
    is_sent = request.method == "POST"
    form = PasswordForm(request.POST if is_sent else None, ctx=ctx, row=user)
    problems: list[str] = []
    if is_sent and form.has_error("old_password", WRONG):
        count_wrong_password(request)
        if not request.user.is_authenticated:
            return HttpResponseRedirect(reverse("admin:login"))
    if is_sent and form.is_valid():

        def change(call: Call) -> Done:
            said = form.cleaned_data
            set_password(user, said["new_password"], current=said["old_password"], ctx=call.ctx)
            return Done(_("Your password is changed."))

        outcome = carry_out(Call(request, ctx, ""), None, change)
        if isinstance(outcome, Done):
            update_session_auth_hash(request, user)
            messages.success(request, outcome.message)
            return HttpResponseRedirect(reverse("admin:index"))
        problems = sentences(outcome)
    home = {"list_title": _("Dashboard"), "list_url": reverse("admin:index")}
    context = {
        **frame,
        **home,
        "title": _("Change password"),
        "form": form,
        "problems": problems,
        "submit": _("Change password"),
    }
    return render(request, "console/form.html", context, status=422 if is_sent else 200)
