"""Fixtures: a principal with a token, and queries for what the database contains afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from policies.models import Channel
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import make_principal, make_token
from threada_site.api.documentation import pages
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant, User


@pytest.fixture(autouse=True)
def document_of_this_urlconf() -> Iterator[None]:
    """Discard the cached OpenAPI document, because tests here change its inputs."""
    yield
    pages._document.cache_clear()


@pytest.fixture
def requester(tenant: Tenant) -> User:
    return make_principal(tenant, "alice", roles=["requester"])


@pytest.fixture
def token(tenant: Tenant, requester: User) -> str:
    return make_token(tenant, requester)


@pytest.fixture
def client(api: Callable[..., Api], token: str) -> Api:
    return api(token)


def channels_of(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        return sorted(Channel.objects.values_list("slug", flat=True))


def refusals_of(tenant: Tenant) -> list[tuple[Any, ...]]:
    """Return reason codes of the receipts of refused requests, oldest first."""
    with unit_of_work(tenant.id):
        rows = Receipt.objects.filter(kind="request.refused").order_by("id")
        return [tuple(row.reason_codes) for row in rows]


def assert_problem(response: Any, status: int, reason_code: str) -> dict[str, Any]:
    """Assert that the response is a well-formed problem with this status and code. Return it."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    document = response.json()
    assert (document["status"], document["reason_code"]) == (status, reason_code)
    assert document["correlation_id"] == response.headers["Threada-Correlation-Id"]
    assert document["type"] == f"/docs/reason-codes#{reason_code}"
    assert {"title", "detail", "category", "errors"} <= document.keys()
    return document
