"""What a browser may do with our answers: the tightest policy that each kind of page still works under."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

CONSOLE: Final = "/console/"

# JSON has nothing to run, load or be framed.
API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
# unfold's dialogs and switches are Alpine expressions, which need 'unsafe-eval', and its colours an inline style. No
# script of ours stands in a page.
CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def response_policies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: name the policy of every answer, unless its view named a narrower one for itself."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        policy = CONSOLE_POLICY if request.path.startswith(CONSOLE) else API_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return middleware
