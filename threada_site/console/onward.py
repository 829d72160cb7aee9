"""Console pages to go on to after a sign-in or a step-up."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from threada_site.console.policies import CONSOLE


def onward_of(request: HttpRequest) -> str:
    """Return the page that `next` of the form or the query names: of this host below /console/, else the dashboard."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    is_here = asked.startswith(CONSOLE) and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    return asked if is_here and not asked.startswith(f"{CONSOLE}log") else CONSOLE
