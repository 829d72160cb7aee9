"""A short scenario with the client that openapi-python-client generated. Print `done` at the end."""

from __future__ import annotations

import os

from threada_generated.api.executions import execute_action
from threada_generated.api.work_items import create_work_item, explain_work_item, list_work_items, read_work_item
from threada_generated.client import AuthenticatedClient
from threada_generated.models.action_accepted import ActionAccepted
from threada_generated.models.create_work_item_request import CreateWorkItemRequest
from threada_generated.models.create_work_item_request_payload import CreateWorkItemRequestPayload
from threada_generated.models.execute_action_request import ExecuteActionRequest
from threada_generated.models.explanation import Explanation
from threada_generated.models.problem import Problem
from threada_generated.models.work_item import WorkItem
from threada_generated.models.work_item_page import WorkItemPage
from threada_generated.models.work_item_with_evidence import WorkItemWithEvidence


def main() -> None:
    client = AuthenticatedClient(base_url=os.environ["THREADA_URL"], token=os.environ["THREADA_TOKEN"])
    payload = CreateWorkItemRequestPayload()
    payload["question"] = "May we?"
    body = CreateWorkItemRequest(workflow_id="policy_review", payload=payload, channel_id="web_main")
    made = create_work_item.sync(client=client, body=body, idempotency_key="generated-python")
    assert isinstance(made, WorkItem), made
    action = ExecuteActionRequest(made.work_item_id, action_id="request_approval", integration_id="int_workflow")
    assert isinstance(execute_action.sync(client=client, body=action), ActionAccepted)
    read = read_work_item.sync(made.work_item_id, client=client)
    assert isinstance(read, WorkItemWithEvidence)
    assert read.created_at == made.created_at
    assert isinstance(explain_work_item.sync(made.work_item_id, client=client), Explanation)
    page = list_work_items.sync(client=client, limit=1)
    assert isinstance(page, WorkItemPage)
    assert len(page.data) == 1
    missing = read_work_item.sync(f"{made.work_item_id[:-3]}000", client=client)
    assert isinstance(missing, Problem)
    assert missing.reason_code == "not_found"
    print("done")


main()
