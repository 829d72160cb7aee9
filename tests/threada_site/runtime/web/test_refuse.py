"""Requests that the web server refuses without a thread, because their bucket is known to be empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from telemetry.models import Receipt
from tests.client import Api
from tests.contract.document import operations
from tests.factories import make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import tokens
from threada_site.runtime.web.unread import refuse
from threada_site.tenancy.models import Tenant


def environ(token: str, path: str = "/me") -> dict[str, Any]:
    return {"PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {token}", "threada.client": "192.0.2.1"}


@pytest.fixture
def limited(tenant: Tenant, rate_limits: Callable[..., None]) -> str:
    """Return a token whose bucket is empty for some seconds, and whose refusals are only counted by now."""
    rate_limits(credential=1, address=1, burst_seconds=1)
    token = make_token(tenant, make_principal(tenant, "alice", roles=["requester"]))
    for _ in range(30):
        Api(token).get("/me")
    return token


def test_a_counted_refusal_needs_no_thread(limited: str, tenant: Tenant) -> None:
    refusals = [refuse(environ(limited)) for _ in range(10)]
    found = [refusal for refusal in refusals if refusal is not None]
    assert found
    assert (found[0].status, found[0].reason_code) == (429, "rate_limited")
    assert found[0].headers["Retry-After"] == "1"
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(kind="request.refused").count() == 10


def test_refusals_with_receipts_of_their_own_are_left_to_the_view(limited: str, settings: Any) -> None:
    settings.THREADA_REFUSAL_RECEIPTS = 1_000
    assert [refuse(environ(limited)) for _ in range(5)] == [None] * 5


def test_a_token_that_failed_is_refused_by_its_address(rate_limits: Callable[..., None], db: None) -> None:
    rate_limits(address=1)
    bad = Api(tokens.new_token())
    bad.client.defaults["REMOTE_ADDR"] = "192.0.2.1"
    for _ in range(12):
        bad.get("/me")
    token = bad.headers["Authorization"].removeprefix("Bearer ")
    refused = refuse(environ(token))
    assert refused is not None
    assert "of this address" in refused.detail
    assert refuse(environ(tokens.new_token())) is None  # it may be valid
    assert refuse({**environ(token), "threada.client": "192.0.2.2"}) is None


@pytest.mark.parametrize("operation", [each for each in operations() if each.is_public], ids=str)
def test_operations_without_a_credential_are_never_refused(limited: str, operation: Any) -> None:
    path = operation.at(dict.fromkeys(operation.variables, "x"))
    assert [refuse(environ(limited, path)) for _ in range(5)] == [None] * 5
