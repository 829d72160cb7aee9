"""Sessions, CSRF, sign-in and messages for the console only; API requests skip them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import reverse
from django.utils import timezone, translation

from threada_site.admin.actions import OWN_UNIT_OF_WORK
from threada_site.api.bodies import body_size
from threada_site.console import rate_limits
from threada_site.console.after_response import attach_work
from threada_site.console.factors.step_up import use_sent_code
from threada_site.console.failures import too_large
from threada_site.console.policies import CONSOLE
from threada_site.console.pulse import PULSE, signed_out
from threada_site.console.session_engine import ConsoleSessionMiddleware
from threada_site.console.tenant_choice import CHOOSE_TENANT, console_context_of, lacks_second_factor
from threada_site.console.time_zone import zone_of
from threada_site.console.translations.language import language_of, name_language
from threada_site.database.replica_reads import position_now, read
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors.enrolled import enrolled_kinds

# Views that are available without a tenant.
_TENANTLESS: Final = frozenset(
    {
        "login",
        "logout",
        "jsi18n",
        CHOOSE_TENANT,
        "invitation",
        "mail_address_link",
        "passkey_second_step",
        "passkey_second_step_options",
        "passkey_sign_in",
        "passkey_sign_in_options",
        "password_reset",
        "password_reset_link",
        "company_sign_in",
        "second_step",
        "service_worker",
        "tenant_sign_in",
        "provider_sign_in",
        "provider_callback",
        "provider_metadata",
    }
)
# Views that a session without a required second factor reaches.
_TO_SECOND_FACTOR: Final = frozenset(
    {
        "service_worker",
        "passkey_registration",
        "passkey_step_up",
        "passkey_step_up_options",
        "second_factors",
        "second_factor_confirm",
        "tenant_sign_in",
        "provider_sign_in",
        "provider_callback",
        "logout",
        "jsi18n",
        CHOOSE_TENANT,
    }
)
# Bytes of a form from somebody who has not signed in. Reading a large form takes the interpreter for long.
_ANONYMOUS_FORM: Final = 64 * 1024
# A SAML response with many groups, in a browser that started a sign-in. Nothing of the cookie is verified here.
_SIGN_IN_FORM: Final = 512 * 1024
_CALLBACK: Final = re.compile(r"/console/login/[^/]+/[^/]+/callback")
# Views besides lists that read from a replica if there is one.
_READ_FROM_REPLICA: Final = frozenset(
    {
        "index",
        "summary",
        "workitems_decisionstep_desk",
        "workitems_decisionstep_decision_statistics",
        "integrations_execution_operations",
        PULSE,
    }
)
# U+202A to U+202E and U+2066 to U+2069, as UTF-8: they display text in a different order than the envelope.
_TURNS_TEXT: Final = re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")


class ConsoleMiddleware:
    """Middleware for `/console/`: principal, tenant, and one unit of work around read-only views."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._csrf = CsrfViewMiddleware(AuthenticationMiddleware(MessageMiddleware(self._with_context)))
        self._console = ConsoleSessionMiddleware(self._csrf)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_console(request):
            return self._get_response(request)
        refused = rate_limits.refused_unread(request)
        if refused is not None:
            return refused
        response = _in_reading_order(self._console(request))  # type: ignore[arg-type]
        attach_work(request, response)
        return response

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Check the CSRF token, then run read-only views with rendering in the tenant's unit of work.

        Buttons and forms open their own, because a refusal is recorded after its rollback.
        """
        if not _is_console(request):
            return None
        refused = self._csrf.process_view(request, view, args, kwargs)
        if refused is not None:
            return refused
        name = getattr(request.resolver_match, "url_name", None)
        if name == PULSE and (request.acting_context is None or lacks_second_factor(request)):  # type: ignore[attr-defined]
            return signed_out()
        if lacks_second_factor(request) and name not in _TO_SECOND_FACTOR:
            return _to_second_factor(request)
        delayed = use_sent_code(request)
        if delayed is not None:
            return delayed
        context = request.acting_context  # type: ignore[attr-defined]
        if context is None:
            return None if name in _TENANTLESS or not request.user.is_authenticated else _to_choice(request)
        if getattr(view, OWN_UNIT_OF_WORK, False) or name in _TENANTLESS:
            return None
        if _is_read_from_replica(request, name):
            return read(
                context.tenant_id,
                lambda: _rendered(view(request, *args, **kwargs)),
                since=position_now(),
                actor=context,
            )
        with unit_of_work(context.tenant_id, actor=context):
            return _rendered(view(request, *args, **kwargs))

    def _with_context(self, request: HttpRequest) -> HttpResponse:
        request.acting_context = console_context_of(request)  # type: ignore[attr-defined]
        refused = rate_limits.refused(request)
        if refused is not None:
            return refused
        if not request.user.is_authenticated and body_size(request.META) > _largest_form(request):
            return too_large(request)
        language = language_of(request)
        with timezone.override(zone_of(request)), translation.override(language):
            response = self._get_response(request)
        name_language(request, response, language)
        return response


def _largest_form(request: HttpRequest) -> int:
    """Return the largest form in bytes of somebody who has not signed in."""
    names = (name.startswith(settings.THREADA_SIGN_IN_COOKIE) for name in request.COOKIES)
    return _SIGN_IN_FORM if _CALLBACK.fullmatch(request.path) and any(names) else _ANONYMOUS_FORM


def _rendered(response: Any) -> HttpResponse:
    """Render a template response while the unit of work is open, because templates read too."""
    rendered: HttpResponse = response
    if hasattr(response, "render") and not response.is_rendered:
        rendered = response.render()
    return rendered


def _is_read_from_replica(request: HttpRequest, name: str | None) -> bool:
    is_one = name is not None and (name.endswith("_changelist") or name in _READ_FROM_REPLICA)
    return is_one and request.method in ("GET", "HEAD")


def _in_reading_order(response: HttpResponse) -> HttpResponse:
    r"""Replace characters that change the display order of text by escapes such as `\\u202e`."""
    if not response.streaming and _TURNS_TEXT.search(response.content):
        response.content = _TURNS_TEXT.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), response.content)
    return response


def _is_console(request: HttpRequest) -> bool:
    return request.path.startswith(CONSOLE)


def _to_second_factor(request: HttpRequest) -> HttpResponse:
    """Redirect to the page that asks for the required second factor, or to that where one is enrolled."""
    is_enrolled = bool(enrolled_kinds(request.acting_context.principal_id))  # type: ignore[attr-defined]
    page = reverse(f"admin:{'second_factor_confirm' if is_enrolled else 'second_factors'}")
    query = urlencode({"next": request.get_full_path()}) if request.method in ("GET", "HEAD") else ""
    return HttpResponseRedirect(f"{page}?{query}" if query else page)


def _to_choice(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(f"{CONSOLE}tenant/?{urlencode({'next': request.get_full_path()})}")
