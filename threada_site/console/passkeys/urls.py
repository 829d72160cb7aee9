"""Addresses of passkeys below /console/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from threada_site.console.passkeys.registration import registration_options
from threada_site.console.passkeys.signing_in import (
    second_step_options,
    second_step_with_passkey,
    sign_in_options,
    sign_in_with_passkey,
)
from threada_site.console.passkeys.step_up import step_up, step_up_options


def passkey_urls(site: Any) -> list[URLPattern]:
    """Return the addresses. `site` gives pages their common context, and admits members of a tenant only."""

    def framed(view: Callable[[HttpRequest, dict[str, Any]], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
        def page(request: HttpRequest) -> HttpResponse:
            return view(request, site.each_context(request))

        return page

    return [
        path("passkeys/registration/", site.admin_view(registration_options), name="passkey_registration"),
        path("passkeys/sign-in/options/", sign_in_options, name="passkey_sign_in_options"),
        path("passkeys/sign-in/", framed(sign_in_with_passkey), name="passkey_sign_in"),
        path("passkeys/second-step/options/", second_step_options, name="passkey_second_step_options"),
        path("passkeys/second-step/", framed(second_step_with_passkey), name="passkey_second_step"),
        path("passkeys/step-up/options/", site.admin_view(step_up_options), name="passkey_step_up_options"),
        path("passkeys/step-up/", site.admin_view(step_up), name="passkey_step_up"),
    ]
