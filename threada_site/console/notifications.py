"""Console page of one's own notification preferences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import User
from workitems.notices.preferences import UNCHANGED, Change, change_preferences, is_set_up, preferences_of, zone_of
from workitems.notices.rules import Channel, Event

_EVENTS = [
    (Event.ASSIGNED.value, gettext_lazy("A decision is pending for me")),
    (Event.REMINDER.value, gettext_lazy("It is still pending (reminder)")),
    (Event.ESCALATED.value, gettext_lazy("A decision was escalated to me")),
    (Event.DECIDED.value, gettext_lazy("A case that I requested or voted on was decided")),
]
_ADDRESSES = gettext_lazy(
    "Apprise URL: slack://A/B/C with the three parts of a webhook, workflows://… (Teams), "
    "discord://id/token, mmosts://host/token (Mattermost), gchat://…, rockets://…, ntfys://…, gotifys://…, or "
    "jsons://host/path (any webhook)."
)


class NotificationsForm(ConsoleForm):
    """Form of notification preferences. A stored chat address is never shown again."""

    intro = gettext_lazy("Messages name a decision and link to its page. They contain no contents of the case.")
    mail_address = forms.EmailField(label=gettext_lazy("Mail address"), required=False, max_length=254)
    mail_events = forms.MultipleChoiceField(
        label=gettext_lazy("Events by mail"), choices=_EVENTS, required=False, widget=forms.CheckboxSelectMultiple
    )
    chat_address = forms.CharField(
        label=gettext_lazy("Chat address"),
        required=False,
        max_length=2000,
        widget=forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    forget_chat = forms.BooleanField(label=gettext_lazy("Remove the chat address"), required=False)
    chat_events = forms.MultipleChoiceField(
        label=gettext_lazy("Events by chat"), choices=_EVENTS, required=False, widget=forms.CheckboxSelectMultiple
    )

    def prepare(self) -> None:
        person = User.objects.get(pk=self.ctx.principal_id)
        service = self.row.chat_service
        self.initial = {
            "mail_address": self.row.mail_address,
            "mail_events": self.row.mail_events,
            "chat_events": self.row.chat_events,
        }
        account = (
            _("Empty: {email}, the address of your account.").format(email=person.email)
            if person.email
            else _("Your account has no address.")
        )
        off = "" if is_set_up(Channel.MAIL) else _("This instance cannot send mail.")
        zone = _("Times are shown in the zone {zone}.").format(zone=zone_of(person, tenant_id=self.ctx.tenant_id))
        self.fields["mail_address"].help_text = f"{account} {zone} {off}".strip()
        stored = _("A {service} address is stored; leave the field empty to keep it.")
        kept = stored.format(service=service.replace("_", " ")) if service else ""
        shown = _("It is never shown again.")
        self.fields["chat_address"].help_text = f"{kept} {_ADDRESSES} {shown}".strip()
        if not service:
            del self.fields["forget_chat"]

    def change(self) -> Change:
        said = self.cleaned_data
        return Change(
            mail_address=said["mail_address"],
            mail_events=said["mail_events"],
            chat_address="" if said.get("forget_chat") else said["chat_address"] or UNCHANGED,
            chat_events=said["chat_events"],
        )


@require_http_methods(["GET", "HEAD", "POST"])
def notifications_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the form, and save the preferences."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    is_sent = request.method == "POST"
    problems: list[str] = []
    with unit_of_work(ctx.tenant_id, actor=ctx):
        form = NotificationsForm(request.POST if is_sent else None, ctx=ctx, row=preferences_of(ctx))
    if is_sent and form.is_valid():

        def change(call: Call) -> Done:
            change_preferences(preferences_of(call.ctx, for_update=True), form.change(), ctx=call.ctx)
            return Done(_("Your notification preferences are saved."))

        outcome = carry_out(Call(request, ctx, ""), None, change)
        if isinstance(outcome, Done):
            messages.success(request, outcome.message)
            return HttpResponseRedirect(reverse("admin:notifications"))
        problems = sentences(outcome)
    home = {"list_title": _("Dashboard"), "list_url": reverse("admin:index")}
    context = {
        **frame,
        **home,
        "title": _("Notifications"),
        "form": form,
        "problems": problems,
        "submit": _("Save preferences"),
    }
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return render(request, "console/form.html", context, status=422 if is_sent else 200)
