"""Console pages to go on to after a sign-in or a step-up."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

CONSOLE: Final = "/console/"
LONGEST_ONWARD: Final = 1000


def onward_of(request: HttpRequest) -> str:
    """Return the page that `next` of the form or the query names: of this host below /console/, else the dashboard.

    Longer addresses would fill the cookies that keep them.
    """
    asked = request.POST.get("next") or request.GET.get("next") or ""
    is_here = (
        len(asked) <= LONGEST_ONWARD
        and asked.startswith(CONSOLE)
        and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    )
    return asked if is_here and not asked.startswith(f"{CONSOLE}log") else CONSOLE
