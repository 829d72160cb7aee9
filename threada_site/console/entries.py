"""Values by which a page keeps entries of its forms in the browser until the person has signed in again.

The script `console/entries.js` encrypts the entries with `key`, which only pages of this person in this tenant contain.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme

from threada_site.console.session_engine import SIGNED_IN_AT
from threada_site.identity.sign_in.onward import CONSOLE

_SALT: Final = "threada.entries"


def kept_entries(request: HttpRequest) -> dict[str, str]:
    """Return owner, session and key as Base64; {} without a person who is signed in to a tenant."""
    ctx: Any = getattr(request, "acting_context", None)
    if ctx is None:
        return {}
    person = f"{ctx.tenant_id} {ctx.principal_id}"
    parts = {"owner": "", "session": f" {request.session.get(SIGNED_IN_AT)}", "key": ""}
    return {
        name: b64encode(salted_hmac(f"{_SALT}.{name}", person + part, algorithm="sha256").digest()).decode()
        for name, part in parts.items()
    }


def page_sent_from(request: HttpRequest) -> str:
    """Return path and query of the console page with the form that was sent; empty if the browser does not name it."""
    named = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(named, {request.get_host()}):
        return ""
    page = urlsplit(named)
    address = f"{page.path}?{page.query}" if page.query else page.path
    return address if page.path.startswith(CONSOLE) else ""
