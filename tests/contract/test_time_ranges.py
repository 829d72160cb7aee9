"""Time ranges of lists: every list has one, and it bounds the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.document import Operation, in_tenants
from tests.contract.world import World, made
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339

pytestmark = pytest.mark.django_db


def _is_list(operation: Operation) -> bool:
    content = operation.raw["responses"].get("200", {}).get("content", {}).get("application/json", {})
    return operation.method == "GET" and content.get("schema", {}).get("$ref", "").endswith("Page")


LISTS = [operation for operation in in_tenants() if _is_list(operation)]


def test_lists_are_found() -> None:
    assert len(LISTS) >= 40


@pytest.mark.parametrize("operation", LISTS, ids=str)
def test_every_list_has_a_time_range(world: World, operation: Operation) -> None:
    now = clock.now()
    long_before, before, after, long_after = (rfc3339(now + timedelta(days=days)) for days in (-2, -1, 1, 2))

    def rows(**query: Any) -> int:
        answer = made(world.home.admin.get(operation.at(world.home.ids), {"limit": 200, **query}))
        return len(answer["data"])

    assert rows(created_after=before, created_before=after) == rows()
    assert rows(created_after=long_before, created_before=before) == 0
    assert rows(created_after=after, created_before=long_after) == 0
