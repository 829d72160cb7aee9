"""Requests that hash passwords. The web server runs them on the password threads, and no others."""

from __future__ import annotations

import io
import re
from typing import Any, Final

from django.conf import settings
from django.http import parse_cookie
from django.urls import Resolver404, resolve

from threada_site.admin.reauthentication import PASSWORD_FIELD
from threada_site.identity.sign_in.browsers import Browser
from threada_site.runtime.web.password_threads import Precedence

HASHING_VIEWS: Final = frozenset({"login", "password_change", "invitation", "password_reset_link"})
"""Names of the views whose forms contain passwords. Any other form of the console may ask for re-authentication."""
_CONSOLE: Final = "/console/"
_FORM: Final = "application/x-www-form-urlencoded"


def _encoded(name: str) -> str:
    """Return an expression for a name in which any character may be percent-encoded."""
    return "".join(f"(?:{letter}|%{ord(letter):02x}|%{ord(letter):02X})" for letter in name)


_REAUTHENTICATES: Final = re.compile(rf"(?:^|&){_encoded(PASSWORD_FIELD)}=".encode())


def password_precedence(environ: dict[str, Any]) -> Precedence | None:
    """Return the precedence of a request that hashes a password; None for all other requests."""
    if environ["REQUEST_METHOD"] != "POST" or not environ["PATH_INFO"].startswith(_CONSOLE):
        return None
    if not (_is_hashing_view(environ["PATH_INFO"]) or _reauthenticates(environ)):
        return None
    return Precedence.KNOWN_BROWSER if _is_known_browser(environ) else Precedence.OTHER


def _is_hashing_view(path: str) -> bool:
    try:
        return resolve(path).url_name in HASHING_VIEWS
    except Resolver404:
        return False


def _reauthenticates(environ: dict[str, Any]) -> bool:
    """Return True if the form contains a password, or could contain one in another encoding than usual."""
    body = environ["wsgi.input"]
    if not isinstance(body, io.BytesIO):
        return False
    sent = body.getvalue()
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == _FORM:
        return _REAUTHENTICATES.search(sent) is not None
    return bool(sent)


def _is_known_browser(environ: dict[str, Any]) -> bool:
    cookie = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.THREADA_BROWSER_COOKIE, "")
    return Browser.from_cookie(cookie) is not None
