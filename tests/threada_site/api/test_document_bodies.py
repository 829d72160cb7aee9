"""Requests whose bodies may be as large as documents."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings

from threada_site.api.bodies import body_limit, takes_document
from threada_site.kernel import tokens

TOKEN = {"HTTP_AUTHORIZATION": f"Bearer {tokens.new_token()}"}
SESSION = {"HTTP_COOKIE": "a=b; __Host-threada_session=abc"}


@pytest.mark.parametrize(
    "path",
    [
        "/workflows",
        "/workflows/payments/versions",
        "/policies",
        "/policies/payments/versions",
        "/integrations",
        "/integrations/bank",
    ],
)
def test_documents_of_the_api_need_a_token(path: str) -> None:
    assert takes_document({"PATH_INFO": path, **TOKEN})
    for other in ({}, SESSION, {"HTTP_AUTHORIZATION": "Bearer x"}, {"HTTP_AUTHORIZATION": "Basic eA=="}):
        assert not takes_document({"PATH_INFO": path, **other})


@pytest.mark.parametrize("path", ["/console/policies/workflow/new/", "/console/integrations/integration/add/"])
def test_documents_of_the_console_need_a_session(path: str) -> None:
    assert takes_document({"PATH_INFO": path, **SESSION})
    assert not takes_document({"PATH_INFO": path, **TOKEN})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/work-items",
        "/policies/payments/versions/1/simulate",
        "/policies/payments/versions/1/replay",
        "/workflows/a/b/versions",
        "/workflows/payments/versions/1",
        "/workflowsx",
        "/integrations/bank/test",
        "/callbacks/x",
        "/console/login/",
        "/console/policies/",
        "/x/workflows",
    ],
)
def test_other_requests_carry_no_document(path: str) -> None:
    assert not takes_document({"PATH_INFO": path, **TOKEN, **SESSION})


def test_limits_are_settings(settings: Any) -> None:
    settings.THREADA_MAX_BODY_BYTES, settings.THREADA_MAX_DOCUMENT_BYTES = 10, 20
    assert body_limit({"PATH_INFO": "/workflows", **TOKEN}) == 20
    assert body_limit({"PATH_INFO": "/work-items", **TOKEN}) == 10
    settings.THREADA_MAX_BODY_BYTES = 30
    assert body_limit({"PATH_INFO": "/workflows", **TOKEN}) == 30


def test_the_documented_proxies_let_the_largest_form_through() -> None:
    """A size is in bytes: nginx counts m as 1,048,576, Caddy MB as 1,000,000."""
    largest = body_limit({"PATH_INFO": "/console/request/payment_run/", "HTTP_COOKIE": "threada_session=x"})
    assert largest > 2 * settings.THREADA_MAX_ATTACHMENT_BYTES
    folder = settings.THREADA_BASE_DIR / "docs" / "operations"
    sizes = {
        "proxies/nginx.conf": [(r"client_max_body_size (\d+)m;", 1_048_576)],
        "proxies/Caddyfile": [(r"max_size (\d+)MB", 1_000_000)],
        "containers/Caddyfile": [(r"max_size (\d+)MB", 1_000_000), (r"request_buffers (\d+)MB", 1_000_000)],
        "helm/examples/production.yaml": [(r"proxy-body-size: (\d+)m", 1_048_576)],
    }
    for name, patterns in sizes.items():
        for pattern, unit in patterns:
            (found,) = re.findall(pattern, (folder / name).read_text())
            assert int(found) * unit >= largest, name
