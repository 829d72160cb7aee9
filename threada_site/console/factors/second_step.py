"""Console pages that ask for a second factor: at the sign-in, and in a session that has none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.admin.reauthentication import reauthenticate, record_step_up
from threada_site.api.refusals import record_refusal
from threada_site.console.signing_in import delayed_response, origin_of, remember_browser
from threada_site.console.tenant_choice import lacks_second_factor
from threada_site.identity.factors.enrolled import enrolled_kinds
from threada_site.identity.factors.proof import use_code
from threada_site.identity.factors.second_step import PendingSecondStep, complete_second_step, forget_second_step
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.errors import (
    SecondFactorFailed,
    SecondStepExpired,
    SignInDelayed,
    SignInStateInvalid,
    StepUpFailed,
)
from threada_site.kernel.factors import STEP_UP_FACTORS, Factor, add_factors
from threada_site.tenancy.models import User

TEMPLATE: Final = "console/second_step.html"


class CodeForm(forms.Form):
    """Form with a code of an authenticator app."""

    code = forms.CharField(
        label=gettext_lazy("Code of your authenticator app"),
        max_length=12,
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "spellcheck": "false"}
        ),
    )


class PasswordForm(forms.Form):
    """Form with the password of the person who is signed in."""

    password = forms.CharField(
        label=gettext_lazy("Your password"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", "autofocus": True}),
    )


class RecoveryCodeForm(forms.Form):
    """Form with a recovery code."""

    code = forms.CharField(
        label=gettext_lazy("Recovery code"),
        max_length=40,
        help_text=gettext_lazy("Each code serves once."),
        widget=forms.TextInput(
            {"autocomplete": "off", "autocapitalize": "none", "autofocus": True, "spellcheck": "false"}
        ),
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def second_step_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Ask for the second factor of a sign-in whose password was right, and open the session."""
    try:
        person = PendingSecondStep.of_request(request).account()
    except SecondStepExpired:
        response: HttpResponse = HttpResponseRedirect(reverse("admin:login"))
        forget_second_step(response)
        return response

    def accept(factor: Factor) -> HttpResponse:
        answer = complete_second_step(request, person, factor)
        remember_browser(request, answer, person.username)
        return answer

    try:
        return _ask(request, frame, person, accept, is_sign_in=True)
    except (SecondStepExpired, SignInStateInvalid):
        return HttpResponseRedirect(reverse("admin:login"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Ask in an open session for a second factor, or for the password of a person who has none, and go on.

    A recovery code is accepted only for the second factor that the tenant requires of the session. It is no step-up.
    """
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    if not enrolled_kinds(ctx.principal_id):
        if ctx.authentication.method is AuthenticationMethod.IDENTITY_PROVIDER:
            query = urlencode({"next": onward_of(request)})
            return HttpResponseRedirect(f"{reverse('admin:provider_step_up')}?{query}")
        return _ask_password(request, frame)
    person = User.objects.get(pk=ctx.principal_id)
    onward = onward_of(request)

    def accept(factor: Factor) -> HttpResponse:
        if factor in STEP_UP_FACTORS:
            record_step_up(request, factor, clock.now())
        else:
            add_factors(request.session, (*ctx.authentication.factors, factor))
        return HttpResponseRedirect(onward)

    takes_recovery_code = lacks_second_factor(request)
    return _ask(request, frame, person, accept, is_sign_in=False, takes_recovery_code=takes_recovery_code)


def _ask_password(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    ctx = request.acting_context  # type: ignore[attr-defined]
    is_sent = request.method == "POST"
    form = PasswordForm(request.POST if is_sent else None, label_suffix="")
    problem = ""
    if is_sent and form.is_valid():
        try:
            reauthenticate(request, ctx)
        except StepUpFailed as refusal:
            if not request.user.is_authenticated:
                return HttpResponseRedirect(reverse("admin:login"))
            record_refusal(refusal, ctx=ctx, request=request)
            problem = f"{refusal.title}. {refusal.advice}"
        else:
            return HttpResponseRedirect(onward_of(request))
    context = {**frame, "title": _("Confirm that it is you"), "form": form, "problem": problem, "asks_password": True}
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)


def _ask(
    request: HttpRequest,
    frame: dict[str, Any],
    person: User,
    accept: Callable[[Factor], HttpResponse],
    *,
    is_sign_in: bool,
    takes_recovery_code: bool = True,
) -> HttpResponse:
    """Show the form, check the code and call `accept` with its factor."""
    kinds = enrolled_kinds(person.id)
    is_recovery = takes_recovery_code and ("recovery" in request.GET or Factor.TOTP not in kinds)
    is_sent = request.method == "POST"
    form = (RecoveryCodeForm if is_recovery else CodeForm)(request.POST if is_sent else None, label_suffix="")
    problem = ""
    if is_sent and form.is_valid():
        try:
            factor = use_code(
                person,
                form.cleaned_data["code"],
                address=origin_of(request).address,
                correlation_id=request.correlation_id,  # type: ignore[attr-defined]
                takes_recovery_code=takes_recovery_code,
            )
        except SignInDelayed as refusal:
            return delayed_response(request, refusal)
        if factor is not None:
            return accept(factor)
        user_login_failed.send(__name__, credentials={"username": person.username}, request=request)
        problem = f"{SecondFactorFailed.title}. {SecondFactorFailed.advice}"
    context = {
        **frame,
        "title": _("Second factor") if is_sign_in else _("Confirm that it is you"),
        "form": form,
        "problem": problem,
        "is_recovery": is_recovery,
        "takes_recovery_code": takes_recovery_code,
        "has_app": Factor.TOTP in kinds,
        "has_passkey": Factor.PASSKEY in kinds,
        "is_sign_in": is_sign_in,
        "onward": request.GET.get("next", ""),
    }
    return render(request, TEMPLATE, context, status=422 if is_sent else 200)
