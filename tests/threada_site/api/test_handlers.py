"""Errors outside of views: problems for the API, pages for the console."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import BadRequest, DisallowedHost
from django.http import HttpRequest
from django.test import RequestFactory
from psycopg_pool import PoolTimeout

from threada_site.api import handlers


def request(path: str) -> HttpRequest:
    made = RequestFactory().get(path)
    made.correlation_id = "order-4711"
    return made


CASES = [
    (lambda asked: handlers.bad_request(asked, BadRequest()), 400, "bad_request"),
    (lambda asked: handlers.bad_request(asked, DisallowedHost()), 400, "bad_request"),
    (lambda asked: handlers.forbidden(asked, PermissionError()), 403, "permission_denied"),
    (lambda asked: handlers.not_found(asked, LookupError()), 404, "not_found"),
    (handlers.server_error, 500, "internal_error"),
]


@pytest.mark.parametrize(("handler", "status", "reason"), CASES)
@pytest.mark.parametrize("path", ["/work-items", "/consoles", "/"])
def test_api_error_is_a_problem(handler: object, status: int, reason: str, path: str) -> None:
    response = handler(request(path))
    document = json.loads(response.content)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert (document["reason_code"], document["correlation_id"]) == (reason, "order-4711")


@pytest.mark.parametrize(("handler", "status", "reason"), CASES)
@pytest.mark.parametrize("path", ["/console", "/console/x"])
def test_console_error_is_a_page(handler: object, status: int, reason: str, path: str) -> None:
    response = handler(request(path))
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "media_type"), [("/work-items", "application/problem+json"), ("/console/x", "text/html")]
)
def test_failure_with_a_type_keeps_its_status_and_advice(path: str, media_type: str) -> None:
    try:
        raise PoolTimeout
    except PoolTimeout:
        response = handlers.server_error(request(path))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.headers["Content-Type"].startswith(media_type)
    assert "The database does not answer" in response.content.decode()
