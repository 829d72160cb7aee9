"""Every operation that needs a credential answers 429 with a problem, once the bucket of the credential is empty."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.document import Operation, check_problem, in_tenants, operations
from tests.contract.test_access import call
from tests.contract.world import World

# This operation takes no credential, but its refusals count for the rate limits of failures.
LIMITED_PUBLIC = "exchangeToken"
RATE_LIMITS = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}


@pytest.mark.django_db
@pytest.mark.parametrize("operation", in_tenants(), ids=str)
def test_beyond_the_limit(world: World, operation: Operation, rate_limits: Callable[..., None]) -> None:
    rate_limits(credential=1, burst_seconds=1)
    world.home.admin.get("/me")
    for _ in range(10):  # one token is added per second
        if world.home.admin.get("/me").status_code == 429:
            break
    rows = world.rows_made()
    answer = call(operation, world.home.admin, operation.at(world.home.ids))
    if answer.status_code != 429:  # a token was added in the meantime
        rows = world.rows_now()
        answer = call(operation, world.home.admin, operation.at(world.home.ids))
    assert world.rows_now() == rows
    check_problem(answer, 429, "rate_limited", operation=operation)
    assert answer.headers["Retry-After"] == "1"
    assert set(answer.headers) >= RATE_LIMITS


@pytest.mark.parametrize("operation", operations(), ids=str)
def test_limits_are_documented(operation: Operation) -> None:
    refusal = operation.raw["responses"]["429"]
    expected = set() if operation.is_public else RATE_LIMITS
    assert {"Retry-After", *expected} <= set(refusal["headers"])
    reasons = operation.documented_reasons(429)
    assert "too_many_connections" in reasons
    assert ("rate_limited" in reasons) is (not operation.is_public or operation.raw["operationId"] == LIMITED_PUBLIC)
    for status, answer in operation.raw["responses"].items():
        assert expected <= set(answer["headers"]), status
