"""SQL statements of the requests that move a case on, BEGIN and COMMIT included."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.client import Api
from tests.workitems.office import Office

pytestmark = pytest.mark.django_db(transaction=True)


def counted(api: Api, address: str, body: dict[str, Any], expected: int) -> tuple[int, Any]:
    """Return the number of statements of a request and its answer."""
    with CaptureQueriesContext(connection) as queries:
        answer = api.post(address, body)
    assert answer.status_code == expected, answer.content
    return len(queries), answer.json()


def test_execute_and_votes_take_few_statements(office: Office) -> None:
    def request(amount: int) -> dict[str, Any]:
        item = office.decided(amount)
        return {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank", "input": {}}

    office.execute(office.decided())  # rules are compiled
    allowed, _ = counted(office.api("ada"), "/actions/execute", request(5), 202)
    with_approval, answer = counted(office.api("ada"), "/actions/execute", request(500), 202)
    step = answer["decision_steps"][0]
    address, ballot = f"/decision-steps/{step['decision_step_id']}/votes", {"decision": "approve"}
    ballot["envelope_sha256"] = step["envelope_sha256"]
    first, _ = counted(office.api("fay"), address, ballot, 201)
    deciding, _ = counted(office.api("finn"), address, ballot, 201)
    # A vote reads whether the tenant requires a second factor, and how a token was made.
    counts = (allowed, with_approval, first, deciding)
    assert all(count <= most for count, most in zip(counts, (10, 12, 11, 12), strict=True)), counts
