"""Page for people whose request the web server refuses because too many passwords are being checked."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.template.loader import render_to_string

from threada_site.kernel.errors import SignInBusy, ThreadaError
from threada_site.runtime.web.refusals import Headers, refusal_answer

HTML: Final = "text/html"
_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def refusal_page(error: ThreadaError, headers: Any) -> tuple[int, Headers, bytes] | None:
    """Return status, headers and body for a browser; None for any other refusal or client. No thread is needed."""
    if not isinstance(error, SignInBusy) or HTML not in (headers.get("accept") or ""):
        return None
    status, own, _ = refusal_answer(error, headers)
    body = _page()
    replaced = {
        "content-type": f"{HTML}; charset=utf-8",
        "content-length": str(len(body)),
        "content-security-policy": _POLICY,
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
    }
    return status, [*((name, value) for name, value in own if name not in replaced), *replaced.items()], body


@cache
def _page() -> bytes:
    return render_to_string("console/sign_in_delayed.html", {"reason": SignInBusy().detail}).encode()
