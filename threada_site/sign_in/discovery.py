"""Page that finds the identity provider of a company by a mail address or domain.

It tells of confirmed domains only. Any other domain, and a tenant without one, look the same.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.identity.providers.domains import domain_of, find_sign_in
from threada_site.identity.sign_in.onward import onward_of
from threada_site.sign_in.starting import CONSOLE

LONGEST: int = 320


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def company_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Ask for a mail address or domain, and go on to the provider of its confirmed domain.

    The answer is a page that goes on, because `form-action` in the CSP forbids that a form redirects to a provider.
    """
    onward = onward_of(request)
    kept = "" if onward == CONSOLE else f"?{urlencode({'next': onward})}"
    context = {**frame, "title": _("Sign in with your company"), "kept": kept, "address": "", "is_unknown": False}
    if request.method != "POST":
        return render(request, "console/company_sign_in.html", context)
    found = find_sign_in(domain_of(request.POST.get("account", "")[:LONGEST]))
    if found is None:
        return render(request, "console/company_sign_in.html", {**context, "is_unknown": True}, status=422)
    tenant, provider = found
    address = f"{reverse('admin:provider_sign_in', args=[tenant.slug, provider])}{kept}"
    response = render(request, "console/company_sign_in.html", {**context, "address": address})
    response.headers["Refresh"] = f"0; url={address}"
    return response
