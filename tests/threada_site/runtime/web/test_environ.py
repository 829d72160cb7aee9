"""The WSGI environment of a request."""

from __future__ import annotations

from typing import Any

from tests.threada_site.runtime.web.rsgi import Headers, Scope
from threada_site.runtime.web.addresses import Client
from threada_site.runtime.web.environ import wsgi_environ


def environ(*headers: tuple[str, str], keeps_forwarded: bool = True, **scope: Any) -> dict[str, Any]:
    client = Client("198.51.100.7", "198.51.100.7")
    return wsgi_environ(Scope(Headers(*headers), **scope), client, keeps_forwarded=keeps_forwarded)


def test_request_line_and_addresses() -> None:
    found = environ(method="POST", path="/ä/\x00", query_string="a=%20", server="[::1]:8000")
    assert found["REQUEST_METHOD"] == "POST"
    assert found["PATH_INFO"] == "/ä/\x00".encode().decode("latin-1")
    assert (found["QUERY_STRING"], found["SERVER_NAME"], found["SERVER_PORT"]) == ("a=%20", "::1", "8000")
    assert found["REMOTE_ADDR"] == "198.51.100.7"
    assert found["wsgi.input_terminated"] is True


def test_method_is_the_one_that_django_sees() -> None:
    assert environ(method="post")["REQUEST_METHOD"] == "POST"


def test_headers_that_are_repeated_are_joined() -> None:
    found = environ(("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2"), ("content-type", "x/y"))
    assert (found["HTTP_ACCEPT"], found["HTTP_COOKIE"], found["CONTENT_TYPE"]) == ("a,b", "a=1;b=2", "x/y")


def test_header_with_an_underscore_is_not_taken_for_another() -> None:
    assert "HTTP_THREADA_TENANT" not in environ(("threada_tenant", "acme"))


def test_value_that_is_not_ascii_counts_as_empty() -> None:
    assert environ(("idempotency-key", "ä"))["HTTP_IDEMPOTENCY_KEY"] == ""


def test_missing_host_is_that_of_the_target() -> None:
    assert environ(authority="x:80")["HTTP_HOST"] == "x:80"
    assert environ(("host", "localhost"), authority="x:80")["HTTP_HOST"] == "localhost"


def test_forwarded_headers_of_a_stranger_are_dropped() -> None:
    headers = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")]
    assert not [name for name in environ(*headers, keeps_forwarded=False) if "FORWARDED" in name]
    assert environ(*headers)["HTTP_X_FORWARDED_PROTO"] == "https"


def test_application_sees_the_client_only_however_many_proxies_there_are() -> None:
    found = environ(("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.5"))
    assert found["HTTP_X_FORWARDED_FOR"] == found["REMOTE_ADDR"] == "198.51.100.7"
