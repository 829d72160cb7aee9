"""Requests that the web server runs on the password threads."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.conf import settings
from django.urls import get_resolver

from threada_site.identity.sign_in.browsers import Browser
from threada_site.runtime.web.password_requests import HASHING_VIEWS, password_precedence
from threada_site.runtime.web.password_threads import Precedence

FORM = "application/x-www-form-urlencoded"


def request(path: str, body: bytes = b"", *, method: str = "POST", media_type: str = FORM, cookie: str = "") -> Any:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": media_type,
        "HTTP_COOKIE": cookie,
        "wsgi.input": io.BytesIO(body),
    }


@pytest.mark.parametrize(
    "path",
    ["/console/login/", "/console/password_change/", "/console/invitations/x/", "/console/password-reset/x/"],
)
def test_forms_with_passwords_hash(path: str) -> None:
    assert password_precedence(request(path)) is Precedence.OTHER
    assert password_precedence(request(path, method="GET")) is None


@pytest.mark.parametrize("path", ["/console/", "/console/password-reset/", "/console/nowhere/", "/work-items", "/"])
def test_other_requests_do_not(path: str) -> None:
    assert password_precedence(request(path, b"comment=password%3Dx&passwords=2")) is None


@pytest.mark.parametrize(
    "body",
    [b"password=x", b"a=b&password=x", b"a=b&p%61ssword=x", b"%70%61%73%73%77%6F%72%64=", b"password=&password="],
)
def test_forms_that_reauthenticate_hash_in_any_encoding(body: bytes) -> None:
    path = "/console/workitems/decisionstep/ds_x/vote/"
    assert password_precedence(request(path, body)) is Precedence.OTHER
    assert password_precedence(request("/work-items", body)) is None


def test_forms_in_another_media_type_count_as_hashing() -> None:
    path = "/console/workitems/decisionstep/ds_x/vote/"
    for media_type in ("multipart/form-data; boundary=x", "text/plain", ""):
        assert password_precedence(request(path, b"--x", media_type=media_type)) is Precedence.OTHER
        assert password_precedence(request(path, media_type=media_type)) is None


def test_known_browsers_come_first() -> None:
    name, cookie = settings.THREADA_BROWSER_COOKIE, Browser.new().with_account("alice").cookie()
    known = request("/console/login/", cookie=f"a=b; {name}={cookie}")
    assert password_precedence(known) is Precedence.KNOWN_BROWSER
    forged = request("/console/login/", cookie=f"{name}={cookie}x")
    assert password_precedence(forged) is Precedence.OTHER


def test_named_views_exist() -> None:
    console = next(each for each in get_resolver().url_patterns if str(each.pattern) == "console/")
    names = {getattr(pattern, "name", None) for pattern in console.url_patterns}  # type: ignore[union-attr]
    assert names >= HASHING_VIEWS
