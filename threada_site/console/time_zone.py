"""Time zone of the reader: the chosen one, else the browser's, else UTC."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.identity.principals import set_time_zone
from threada_site.tenancy.models import User

COOKIE: Final = "threada_zone"
"""Cookie with the browser's time zone, set by the console's script."""


def zone_of(request: HttpRequest) -> tzinfo:
    """Return the time zone of a page."""
    user: Any = request.user
    chosen = user.time_zone if user.is_authenticated else ""
    return _named(chosen or request.COOKIES.get(COOKIE, "").replace("%2F", "/")) or UTC


def _named(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name in zone_names() else None


@cache
def zone_names() -> frozenset[str]:
    """Return the known zones; other names never reach the file system."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}


class TimeZoneForm(ConsoleForm):
    intro = "Times in the console and in messages are shown in this zone. Receipts contain UTC."
    time_zone = forms.ChoiceField(label="Time zone", required=False)

    def prepare(self) -> None:
        names = sorted(zone_names())
        self.fields["time_zone"].choices = [("", "browser's time zone"), *((name, name) for name in names)]  # type: ignore[attr-defined]
        self.fields["time_zone"].initial = self.row.time_zone


@require_http_methods(["GET", "HEAD", "POST"])
def time_zone_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show and handle the time zone form."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    user = User.objects.get(pk=ctx.principal_id)
    is_sent = request.method == "POST"
    form = TimeZoneForm(request.POST if is_sent else None, ctx=ctx, row=user)
    problems: list[str] = []
    if is_sent and form.is_valid():

        def change(call: Call) -> Done:
            set_time_zone(user, form.cleaned_data["time_zone"], ctx=call.ctx)
            return Done("Your time zone is saved.")

        outcome = carry_out(Call(request, ctx, ""), None, change)
        if isinstance(outcome, Done):
            messages.success(request, outcome.message)
            return HttpResponseRedirect(reverse("admin:index"))
        problems = sentences(outcome)
    home = {"list_title": "Dashboard", "list_url": reverse("admin:index")}
    context = {**frame, **home, "title": "Time zone", "form": form, "problems": problems, "submit": "Save time zone"}
    return render(request, "console/form.html", context, status=422 if is_sent else 200)
