"""Sign-in to the console: delays after failures, and browsers that are remembered after a success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm

from threada_site.api.problems import CONTENT_TYPE, problem_document
from threada_site.console.policies import CONSOLE
from threada_site.identity.factors.enrolled import enrolled_kinds
from threada_site.identity.factors.second_step import PendingSecondStep
from threada_site.identity.selectors import tenants_of_person
from threada_site.identity.sign_in.attempts import Origin, begin_attempt
from threada_site.identity.sign_in.browsers import KNOWN_FOR, Browser
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel.errors import SignInBusy, SignInDelayed, ThreadaError
from threada_site.kernel.request_threads import MUST_WAIT
from threada_site.kernel.source import source_of
from threada_site.tenancy.models import User
from threada_site.tenancy.request_limits import client_key

HTML: Final = "text/html"
REDIRECT: Final = 302

log = structlog.get_logger("threada.console")


class SecondFactorNeeded(Exception):
    """The password of a person with an enrolled second factor was right."""

    def __init__(self, person: User) -> None:
        super().__init__()
        self.person = person


class SignInForm(AuthenticationForm):
    """Sign-in form for people who are members of a tenant. Services and agents use tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Username")
        self.fields["username"].widget.attrs["autocomplete"] = "username webauthn"  # suggests passkeys too

    def confirm_login_allowed(self, user: Any) -> None:
        super().confirm_login_allowed(user)
        tenants = tenants_of_person(user)
        if tenants and not any(tenant.takes_password for tenant in tenants):
            raise ValidationError(
                _("Passwords are turned off. Sign in at your identity provider: {address}").format(
                    address=f"{CONSOLE}login/{tenants[0].slug}/"
                ),
                code="provider_required",
            )
        if not tenants:
            raise ValidationError(
                _("You are not a member of any tenant. Ask a tenant administrator."), code="no_tenant"
            )

    def clean(self) -> dict[str, Any]:
        """Check name and password. Raise `SecondFactorNeeded` before anybody is signed in."""
        cleaned: dict[str, Any] = super().clean()
        person = self.get_user()
        if person is not None and enrolled_kinds(person.pk):
            raise SecondFactorNeeded(person)
        return cleaned

    def get_invalid_login_error(self) -> ValidationError:
        log.info("sign_in_refused")  # not the name: people type passwords into the wrong field
        return super().get_invalid_login_error()


def sign_in(request: HttpRequest, check: Callable[[], HttpResponse]) -> HttpResponse:
    """Call `check`, which checks name and password of a sign-in form, unless the attempt has to wait.

    After a success the browser is remembered. With an enrolled second factor, the second step follows.
    """
    name = request.POST.get("username", "")
    if not name or not request.POST.get("password"):
        return check()
    try:
        attempt = begin_attempt(name, origin_of(request))
    except SignInDelayed as refusal:
        return delayed_response(request, refusal)
    try:
        response = check()
    except SignInBusy as refusal:
        attempt.withdraw()
        return delayed_response(request, refusal)
    except SecondFactorNeeded as needed:
        attempt.withdraw()
        response = HttpResponseRedirect(reverse("admin:second_step"))
        PendingSecondStep.start(needed.person, onward=onward_of(request)).store(response)
        return response
    user: Any = request.user
    if user.is_authenticated and response.status_code == REDIRECT:
        attempt.succeeded()
        remember_browser(request, response, user.username)
    return response


def remember_browser(request: HttpRequest, response: HttpResponse, name: str) -> None:
    """Set the cookie by which this browser is known to the account `name`."""
    browser = (_browser_of(request) or Browser.new()).with_account(name)
    response.set_cookie(
        settings.THREADA_BROWSER_COOKIE,
        browser.cookie(),
        max_age=KNOWN_FOR,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def origin_of(request: HttpRequest) -> Origin:
    """Return where an attempt to sign in comes from."""
    source = source_of(request.META, is_behind_proxy=settings.THREADA_TRUSTED_PROXY)
    address = client_key(request.META)
    return Origin(
        address=address,
        network=source.network or address,
        browser=_browser_of(request),
    )


def delayed_response(request: HttpRequest, refusal: ThreadaError) -> HttpResponse:
    """Return the answer to an attempt that must wait."""
    request.META[MUST_WAIT] = True
    if HTML in request.headers.get("Accept", ""):
        response = render(request, "console/sign_in_delayed.html", {"reason": refusal.detail}, status=refusal.status)
    else:
        correlation_id = request.correlation_id  # type: ignore[attr-defined]
        document = problem_document(refusal, correlation_id=correlation_id)
        response = HttpResponse(orjson.dumps(document), content_type=CONTENT_TYPE, status=refusal.status)
    response.headers["Cache-Control"] = "no-store"
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response


def _browser_of(request: HttpRequest) -> Browser | None:
    return Browser.from_cookie(request.COOKIES.get(settings.THREADA_BROWSER_COOKIE, ""))
