"""Equal calls at the same time: an agent that sends a call twice makes one work item and one execution."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from integrations.models import Execution
from tests.client import Api
from tests.factories import make_token
from tests.receivers.fixtures import mcp_server
from tests.workitems.mcp.agent import Agent
from tests.workitems.mcp.test_gateway import KEY, Gateway, World, governed
from tests.workitems.office import Office
from tests.workitems.test_concurrency import at_once
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import DecisionStep, WorkItem

__all__ = ["governed", "mcp_server"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_equal_calls_at_once_do_one_thing(office: Office) -> None:
    bot = office.join("bot", kind="agent", roles=("client",))
    agents = [Agent(Api(make_token(office.tenant, bot))) for _ in range(3)]
    payment = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 500}}
    submitted = at_once(*(partial(agent.call, "submit_work_item", **payment) for agent in agents))
    made = {result["structuredContent"]["work_item_id"] for result in submitted if not result["isError"]}
    refused = {result["structuredContent"]["reason_code"] for result in submitted if result["isError"]}
    assert (len(made), refused - {"idempotency_in_flight"}) == (1, set())
    pay: dict[str, Any] = {"work_item_id": made.pop(), "action_id": "pay", "integration_id": "bank"}
    executed = at_once(*(partial(agent.done, "execute_action", **pay) for agent in agents))
    assert len({answer["execution_id"] for answer in executed}) == 1
    with unit_of_work(office.tenant.id):
        assert (WorkItem.objects.count(), Execution.objects.count(), DecisionStep.objects.count()) == (1, 1, 1)


def test_equal_calls_of_a_governed_tool_at_once_do_one_thing(office: Office, governed: World) -> None:
    governed.agent()
    agents = [Gateway(Api(make_token(office.tenant, office.people["bot"]))) for _ in range(3)]
    for number, meta in enumerate(({}, {KEY: "once"}), start=1):
        params = {"name": "write", "arguments": {"text": "a"}, "_meta": meta}
        answers = at_once(*(partial(agent.send, "tools/call", params) for agent in agents))
        results = [answer.json()["result"] for answer in answers]
        made = {result["structuredContent"]["execution_id"] for result in results if not result["isError"]}
        refused = {result["structuredContent"]["reason_code"] for result in results if result["isError"]}
        assert (len(made), refused - {"idempotency_in_flight"}) == (1, set())
        with unit_of_work(office.tenant.id):
            assert (WorkItem.objects.count(), Execution.objects.count(), DecisionStep.objects.count()) == (number,) * 3
