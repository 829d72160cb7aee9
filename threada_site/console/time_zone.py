"""Page of the reader's language and time zone. Time zone: the chosen one, else the browser's, else UTC."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.identity.principals import set_language, set_time_zone
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
    intro = gettext_lazy(
        "The console and messages use this language and show times in this zone. Receipts contain English and UTC."
    )
    language = forms.ChoiceField(label=gettext_lazy("Language"), required=False)
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"), required=False)

    def prepare(self) -> None:
        zones = sorted(zone_names())
        for name, empty, known in (
            ("language", _("browser's language"), settings.LANGUAGES),
            ("time_zone", _("browser's time zone"), [(zone, zone) for zone in zones]),
        ):
            self.fields[name].choices = [("", empty), *known]  # type: ignore[attr-defined]
            self.fields[name].initial = getattr(self.row, name)


@require_http_methods(["GET", "HEAD", "POST"])
def time_zone_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show and handle the form of language and time zone."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    user = User.objects.get(pk=ctx.principal_id)
    is_sent = request.method == "POST"
    form = TimeZoneForm(request.POST if is_sent else None, ctx=ctx, row=user)
    problems: list[str] = []
    if is_sent and form.is_valid():

        def change(call: Call) -> Done:
            set_language(user, form.cleaned_data["language"], ctx=call.ctx)
            set_time_zone(user, form.cleaned_data["time_zone"], ctx=call.ctx)
            return Done("")

        outcome = carry_out(Call(request, ctx, ""), None, change)
        if isinstance(outcome, Done):
            with translation.override(user.language or translation.get_language_from_request(request)):
                messages.success(request, _("Language and time zone are saved."))
            return HttpResponseRedirect(reverse("admin:index"))
        problems = sentences(outcome)
    frame |= {"list_title": _("Dashboard"), "list_url": reverse("admin:index"), "title": _("Language and time zone")}
    context = {**frame, "form": form, "problems": problems, "submit": _("Save language and time zone")}
    return render(request, "console/form.html", context, status=422 if is_sent else 200)
