"""Content security policies of responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

CONSOLE: Final = "/console/"

# JSON needs no scripts, resources or frames.
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
# unfold uses Alpine expressions, which need 'unsafe-eval', and inline styles. The console has no inline scripts.
CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "manifest-src 'self'; worker-src 'self'"
)


def response_policies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return middleware that sets the policy of every response, unless its view has set a narrower one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        policy = CONSOLE_POLICY if request.path.startswith(CONSOLE) else API_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return middleware
