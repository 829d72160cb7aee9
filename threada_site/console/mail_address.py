"""Console pages of the own mail address: the form, and the link that confirms a new one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.forms import ConsoleForm
from threada_site.admin.reauthentication import proof_asked, reauthenticate
from threada_site.console.account_links import (
    TEMPLATE,
    carry_out_link,
    context_of_link,
    done_page,
    gone_page,
    open_link,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.mail_address import ask_for_address, confirm_address, record_address_change
from threada_site.identity.account_links import LinkTenant, mail_is_set_up
from threada_site.identity.console_sessions.provider_sessions import may_act_in
from threada_site.identity.selectors import tenants_of_person
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.models import User


class MailAddressForm(ConsoleForm):
    """Form with the new address."""

    intro = gettext_lazy(
        "Links for a new password and notices about your account go to this address. A new address is used once you "
        "open the link that is mailed there. Your sessions and tokens stay."
    )
    address = forms.EmailField(
        label=gettext_lazy("New mail address"), max_length=254, widget=forms.EmailInput({"autocomplete": "email"})
    )

    def prepare(self) -> None:
        if not self.row.email:
            present = gettext("You have no mail address yet.")
        elif self.row.email_confirmed_at:
            present = gettext("Present address: {address}, confirmed.").format(address=self.row.email)
        else:
            present = gettext("Present address: {address}, not confirmed.").format(address=self.row.email)
        self.fields["address"].help_text = present


@require_http_methods(["GET", "HEAD", "POST"])
def mail_address_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the form, and mail a link to the new address."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    is_sent = request.method == "POST"
    form = MailAddressForm(request.POST if is_sent else None, ctx=ctx, row=User.objects.get(pk=ctx.principal_id))
    problems: list[str] = []
    if is_sent and form.is_valid():

        def ask(call: Call) -> Done:
            proved = reauthenticate(call.request, call.ctx)
            ask_for_address(form.cleaned_data["address"], ctx=proved)
            return Done(gettext("A link to confirm the new address is on its way there."))

        outcome = carry_out(Call(request, ctx, ""), None, ask)
        if isinstance(outcome, Done):
            messages.success(request, outcome.message)
            return HttpResponseRedirect(reverse("admin:mail_address"))
        if not request.user.is_authenticated:
            return HttpResponseRedirect(reverse("admin:login"))
        problems = sentences(outcome)
    context = {
        **frame,
        "list_title": gettext("Dashboard"),
        "list_url": reverse("admin:index"),
        "title": gettext("Mail address"),
        "form": form,
        "asks_proof": proof_asked(ctx),
        "problems": problems if mail_is_set_up() else [gettext("This instance cannot send mail. Ask its operator.")],
        "submit": gettext("Send link"),
    }
    return render(request, "console/form.html", context, status=422 if is_sent else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_address_page(request: HttpRequest, token: str, frame: dict[str, Any]) -> HttpResponse:
    """Show what the link confirms; take the address with the button, in a session of its person."""
    found = open_link(token, LinkPurpose.ADDRESS)
    if found is None:
        return gone_page(request, frame)
    tenant, link, _ = found
    is_signed_in = (
        request.user.is_authenticated
        and request.user.pk == link.user_id
        and may_act_in(request.session, tenant.tenant_id)
    )
    problems: list[str] = []
    is_sent = request.method == "POST"
    if is_sent and is_signed_in:
        ctx = context_of_link(request, tenant, link.user, is_session=True)
        outcome = carry_out_link(request, ctx, lambda: confirm_address(token, ctx=ctx))
        if outcome is None:
            _record_elsewhere(request, link.user, tenant)
            return done_page(
                request, frame, gettext("{address} is now your mail address.").format(address=link.address), None
            )
        problems = sentences(outcome)
    context = {
        **frame,
        "title": gettext("New mail address"),
        "facts": [(gettext("Your user name"), link.user.username), (gettext("New mail address"), link.address)]
        if is_signed_in
        else [],
        "problems": problems,
        "needs_sign_in": not is_signed_in,
        "sign_in_for": gettext("Sign in to your account to confirm the new mail address."),
        "submit": gettext("Confirm mail address"),
    }
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)


def _record_elsewhere(request: HttpRequest, person: User, done: LinkTenant) -> None:
    """Write the receipt in the other tenants of the person."""
    for tenant in tenants_of_person(person):
        if tenant.tenant_id != done.tenant_id:
            ctx = context_of_link(request, LinkTenant(*tenant[:3]), person, is_session=True)
            with unit_of_work(tenant.tenant_id, actor=ctx):
                record_address_change(person, ctx=ctx)
