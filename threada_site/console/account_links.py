"""Public console pages of one-time links: acceptance of an invitation, and the reset of a password."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import sentences
from threada_site.api.refusals import record_refusal, result_or_refusal
from threada_site.console.after_response import after_response
from threada_site.console.signing_in import delayed_response, origin_of, remember_browser
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import LinkTenant, link_of_token, mail_is_set_up, tenant_of_link
from threada_site.identity.console_sessions.provider_sessions import may_act_in
from threada_site.identity.invitations import accept_invitation, needs_sign_in
from threada_site.identity.passwords import mail_reset, people_to_reset, record_reset, reset_password
from threada_site.identity.selectors import tenants_of_person
from threada_site.identity.sign_in.attempts import RESET, begin_attempt, forget_old_attempts
from threada_site.kernel import errors
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    Visibility,
    system_context,
)
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import User

TEMPLATE: Final = "console/account_link.html"


class NewPasswordForm(forms.Form):
    """Form with a new password."""

    new_password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        help_text=gettext_lazy("At least 12 characters."),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label=gettext_lazy("Password again"), strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("new_password"):
            raise forms.ValidationError(gettext("The two passwords differ."))
        return again


class ResetForm(forms.Form):
    """Form that asks for a reset link."""

    account = forms.CharField(label=gettext_lazy("User name or mail address"), max_length=254)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_page(request: HttpRequest, token: str, frame: dict[str, Any]) -> HttpResponse:
    """Show an invitation, and accept it."""
    found = open_link(token, LinkPurpose.INVITATION)
    if found is None:
        return gone_page(request, frame)
    tenant, link, inviter = found
    with unit_of_work(tenant.tenant_id):
        has_account = needs_sign_in(link.user)
    is_signed_in = (
        request.user.is_authenticated
        and request.user.pk == link.user_id
        and may_act_in(request.session, tenant.tenant_id)
    )
    is_sent = request.method == "POST"
    form = None if has_account else NewPasswordForm(request.POST if is_sent else None, label_suffix="")
    problems: list[str] = []
    if is_sent and (form is None or form.is_valid()):
        password = form.cleaned_data["new_password"] if form else ""
        ctx = context_of_link(request, tenant, link.user, is_session=has_account and is_signed_in)
        outcome = carry_out_link(request, ctx, lambda: accept_invitation(token, password=password, ctx=ctx))
        if outcome is None:
            response = done_page(
                request, frame, gettext("You are now a member of {name}.").format(name=tenant.name), link.user
            )
            remember_browser(request, response, link.user.username)
            return response
        problems = sentences(outcome)
    context = {
        **frame,
        "title": gettext("Invitation to {name}").format(name=tenant.name),
        "facts": [
            (gettext("Tenant"), tenant.name),
            (gettext("Your user name"), link.user.username),
            (gettext("Invited by"), inviter),
        ],
        "form": form,
        "problems": problems,
        "needs_sign_in": has_account and not is_signed_in,
        "submit": gettext("Accept invitation"),
        "key": token,
    }
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_password_page(request: HttpRequest, token: str, frame: dict[str, Any]) -> HttpResponse:
    """Show the form of a reset link, and set the password."""
    found = open_link(token, LinkPurpose.RESET)
    if found is None:
        return gone_page(request, frame)
    tenant, link, _ = found
    is_sent = request.method == "POST"
    form = NewPasswordForm(request.POST if is_sent else None, label_suffix="")
    problems: list[str] = []
    if is_sent and form.is_valid():
        ctx = context_of_link(request, tenant, link.user, is_session=False)
        password = form.cleaned_data["new_password"]
        outcome = carry_out_link(request, ctx, lambda: reset_password(token, password, ctx=ctx))
        if outcome is None:
            _record_elsewhere(request, link.user, tenant)
            response = done_page(
                request, frame, gettext("Your password is set. All your sessions have ended."), link.user
            )
            remember_browser(request, response, link.user.username)
            return response
        problems = sentences(outcome)
    context = {
        **frame,
        "title": gettext("New password"),
        "facts": [(gettext("Your user name"), link.user.username)],
        "form": form,
        "problems": problems,
        "submit": gettext("Set password"),
    }
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def reset_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Ask for an account, and mail a reset link to its confirmed address.

    The answer does not tell whether there is such an account, and neither does that to too many requests.
    """
    is_sent = request.method == "POST"
    form = ResetForm(request.POST if is_sent else None, label_suffix="")
    if is_sent and form.is_valid():
        account = form.cleaned_data["account"].strip()
        try:
            begin_attempt(account, origin_of(request), counted=RESET)
        except errors.ResetDelayed as refusal:
            return delayed_response(request, refusal)
        after_response(request, lambda: _mail_resets(request, account))
        message = gettext(
            "If this account has a confirmed mail address, a link to set a new password is on its way there."
        )
        return done_page(request, frame, message, None, title=gettext("Reset password"))
    has_mail = mail_is_set_up()
    context = {
        **frame,
        "title": gettext("Reset password"),
        "form": form,
        "about": gettext(
            "The link goes to the mail address that the person confirmed. Without one, ask a tenant administrator."
        )
        if has_mail
        else gettext("This instance cannot send mail. Ask a tenant administrator or the operator of the instance."),
        "submit": gettext("Send link") if has_mail else "",
        "is_done": not has_mail,
    }
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)


def open_link(token: str, purpose: LinkPurpose) -> tuple[LinkTenant, AccountLink, str] | None:
    """Return the tenant, the open link with this token and purpose, and who made it; None if there is none."""
    tenant = tenant_of_link(token)
    if tenant is None:
        return None
    with unit_of_work(tenant.tenant_id):
        try:
            link = link_of_token(token, tenant_id=tenant.tenant_id)
        except errors.NotFound:
            return None
        if link.purpose != purpose:
            return None
        inviter = User.objects.filter(id=link.created_by).first() if link.created_by else None
    return tenant, link, str(inviter) if inviter else gettext("the operator of the instance")


def context_of_link(request: HttpRequest, tenant: LinkTenant, person: User, *, is_session: bool) -> ActingContext:
    """Return the context of the person of a link: without any scope."""
    method = AuthenticationMethod.SESSION if is_session else AuthenticationMethod.LINK
    return ActingContext(
        tenant_id=tenant.tenant_id,
        tenant_slug=tenant.slug,
        principal_id=person.id,
        principal_kind=PrincipalKind(person.kind),
        principal_name=person.username,
        roles=frozenset(),
        scopes=frozenset(),
        visibility=Visibility.OWN,
        authentication=Authentication(method=method),
        entry_point=EntryPoint.CONSOLE,
        correlation_id=request.correlation_id,  # type: ignore[attr-defined]
    )


def carry_out_link(request: HttpRequest, ctx: ActingContext, work: Any) -> ThreadaError | None:
    """Run a service in a unit of work. Return its refusal, after the rollback and the receipt, or None."""
    outcome = result_or_refusal(work, inside=unit_of_work(ctx.tenant_id, actor=ctx), raises_failures=True)
    if isinstance(outcome, ThreadaError):
        record_refusal(outcome, ctx=ctx, request=request)
        return outcome
    return None


def _mail_resets(request: HttpRequest, account: str) -> None:
    """Mail a link to each person whose account is meant, on behalf of the person's first tenant."""
    forget_old_attempts()
    for person in people_to_reset(account):
        for tenant in tenants_of_person(person)[:1]:
            with unit_of_work(tenant.tenant_id):
                mail_reset(person, ctx=_system(request, LinkTenant(*tenant[:3])))


def _record_elsewhere(request: HttpRequest, person: User, done: LinkTenant) -> None:
    """Write the receipt of a reset in the other tenants of the person."""
    for tenant in tenants_of_person(person):
        if tenant.tenant_id != done.tenant_id:
            ctx = context_of_link(request, LinkTenant(*tenant[:3]), person, is_session=False)
            with unit_of_work(tenant.tenant_id):
                record_reset(person, ctx=ctx)


def _system(request: HttpRequest, tenant: LinkTenant) -> ActingContext:
    return system_context(
        tenant_id=tenant.tenant_id,
        tenant_slug=tenant.slug,
        correlation_id=request.correlation_id,  # type: ignore[attr-defined]
        entry_point=EntryPoint.CONSOLE,
    )


def gone_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Return the page of a link that is not valid."""
    message = gettext("This link is not valid any more: it was used, withdrawn or has expired. Ask for another one.")
    context = {**frame, "title": gettext("Link not valid"), "message": message, "is_done": True}
    return render(request, TEMPLATE, context, status=404)


def done_page(
    request: HttpRequest, frame: dict[str, Any], message: str, person: User | None, *, title: str = ""
) -> HttpResponse:
    """Return the page of a link that was used, with the way to the sign-in."""
    context = {**frame, "title": title or gettext("Done"), "message": message, "person": person, "is_done": True}
    return render(request, TEMPLATE, context)
