"""Tools of the MCP server: the same answers, scopes, keys and receipts as those of the API."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.models import Execution
from tests.factories import make_token
from tests.jobs import run_jobs
from tests.workitems.mcp.agent import TASKS, Agent
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import DecisionStep, WorkItem

PAYMENT: dict[str, Any] = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 500}}
NAMES = {
    "submit_work_item", "execute_action", "get_work_item", "explain_work_item", "list_my_work", "search_work_items",
    "simulate_policy", "list_workflows", "get_workflow",
}  # fmt: skip


@pytest.fixture
def agent(office: Office) -> Agent:
    office.join("bot", kind="agent", roles=("client",))
    return Agent(office.api("bot"))


def pay(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"work_item_id": item["work_item_id"], "action_id": "pay", "integration_id": "bank", **more}


def test_tools_are_the_documented_ones_and_none_decides(agent: Agent) -> None:
    tools = {tool["name"]: tool for tool in agent.result("tools/list")["tools"]}
    assert tools.keys() == NAMES
    for tool in tools.values():
        schema = tool["inputSchema"]
        assert schema["type"] == "object"
        assert schema.keys().isdisjoint({"oneOf", "anyOf", "allOf", "not", "if"})  # several model APIs refuse these
        assert {"decision", "envelope_sha256"}.isdisjoint(schema["properties"])
    for name in ("vote", "cast_vote", "approve"):
        error = agent.send("tools/call", {"name": name, "arguments": {}}).json()["error"]
        assert (error["code"], name in error["message"]) == (-32602, True)


def test_an_agent_requests_a_payment_and_reads_what_it_waits_for(agent: Agent, office: Office) -> None:
    workflow = agent.done("get_workflow", workflow_id="payments")
    assert (workflow["spec"]["payload_schema"]["required"], workflow["channel_ids"]) == (["amount"], ["web"])
    assert {entry["integration_id"]: [action["action_id"] for action in entry["actions"]] for entry in
            workflow["integrations"]} == {"bank": ["pay"], "desk": ["assign", "close", "request_approval"]}  # fmt: skip
    assert [entry["workflow_id"] for entry in agent.done("list_workflows")["data"]] == ["payments"]

    item = agent.done("submit_work_item", **PAYMENT, evidence=["invoice 4711"])
    execution = agent.done("execute_action", **pay(item))
    assert (execution["status"], len(execution["decision_steps"])) == ("awaiting_approval", 1)
    assert execution["console_url"] == f"http://testserver/console/workitems/workitem/{item['work_item_id']}/"
    shown = agent.done("get_work_item", work_item_id=item["work_item_id"])
    of_api = agent.api.get(f"/work-items/{item['work_item_id']}").json()
    assert {name: value for name, value in shown.items() if name != "console_url"} == of_api
    explained = agent.done("explain_work_item", work_item_id=item["work_item_id"])
    assert explained["status"] == "awaiting_approval"
    assert any("finance" in text for text in explained["waiting_for"])
    run_jobs()
    for name, arguments in (("list_my_work", {}), ("search_work_items", {"status": ["awaiting_approval", "new"]})):
        assert [row["work_item_id"] for row in agent.done(name, **arguments)["data"]] == [item["work_item_id"]]
    office.create(5)  # by a colleague
    assert len(agent.done("list_my_work")["data"]) == 1
    assert agent.done("list_my_work", status=["resolved"])["data"] == []
    assert {body["actor"]["entry_point"] for body in office.bodies("work_item.created")} == {"mcp", "api"}
    assert [body["actor"]["entry_point"] for body in office.bodies("execution.proposed")] == ["mcp"]


def test_without_a_key_equal_arguments_find_what_they_did(agent: Agent, office: Office) -> None:
    """An agent that crashes and calls again meets the same pending approval."""
    first = agent.call("submit_work_item", **PAYMENT)
    again = agent.call("submit_work_item", **PAYMENT)
    item = first["structuredContent"]
    assert again["structuredContent"] == item
    assert (first.get("_meta", {}).get("threada.dev/repeated"), again["_meta"]["threada.dev/repeated"]) == (None, True)
    execution = agent.done("execute_action", **pay(item))
    repeated = agent.call("execute_action", **pay(item, input={}))
    assert repeated["_meta"]["threada.dev/repeated"] is True
    assert repeated["structuredContent"]["execution_id"] == execution["execution_id"]
    assert repeated["structuredContent"]["decision_steps"] == execution["decision_steps"]
    assert (
        agent.refused("execute_action", **pay(item, idempotency_key="other"))["reason_code"] == "execution_in_progress"
    )
    with unit_of_work(office.tenant.id):
        assert (WorkItem.objects.count(), Execution.objects.count(), DecisionStep.objects.count()) == (1, 1, 1)
    other = agent.done("submit_work_item", **PAYMENT, idempotency_key="second")
    assert other["work_item_id"] != item["work_item_id"]
    assert agent.done("submit_work_item", **PAYMENT, idempotency_key="second") == other
    assert agent.done("submit_work_item", **PAYMENT)["work_item_id"] == other["work_item_id"]  # the newest equal one

    cancelled = agent.api.post(f"/executions/{execution['execution_id']}/cancel", {})
    assert cancelled.status_code == 200
    ended = agent.done("execute_action", **pay(item))
    assert (ended["execution_id"], ended["status"]) == (execution["execution_id"], "cancelled")
    fresh = agent.done("execute_action", **pay(item, idempotency_key="again"))
    assert fresh["execution_id"] != execution["execution_id"]
    assert agent.done("execute_action", **pay(item))["execution_id"] == fresh["execution_id"]
    office.join("boss", roles=("tenant_admin",))  # reads all cases; equal arguments of others are not theirs
    assert Agent(office.api("boss")).refused("execute_action", **pay(item))["reason_code"] == "execution_in_progress"
    agent.api.post(f"/work-items/{other['work_item_id']}/cancel", {})
    assert agent.done("submit_work_item", **PAYMENT)["work_item_id"] not in {
        other["work_item_id"],
        item["work_item_id"],
    }


def test_refusals_are_problem_documents_and_are_not_remembered_without_a_key(agent: Agent, office: Office) -> None:
    item = agent.done("submit_work_item", **{**PAYMENT, "payload": {"amount": 5}})
    office.put_rules({"id": "no", "when": "true", "effect": "deny", "reason": "NOT_NOW"})
    denied = agent.refused("execute_action", **pay(item))
    assert denied["reason_code"] == "policy_denied"
    assert "NOT_NOW" in str(denied["reasons"])
    office.put_rules({"id": "yes", "when": "true", "effect": "allow", "reason": "FINE"})
    fresh = agent.done("submit_work_item", **{**PAYMENT, "payload": {"amount": 6}})
    assert agent.done("execute_action", **pay(fresh))["status"] == "started"
    wrong = agent.refused("submit_work_item", **{**PAYMENT, "payload": {"amount": "much"}})
    assert (wrong["reason_code"], wrong["errors"][0]["pointer"]) == ("payload_schema_violation", "/payload/amount")
    for arguments in (
        {},
        {"work_item_id": 5},
        {"work_item_id": "../../console"},
        {"work_item_id": item["work_item_id"], "x": 1},
    ):
        assert agent.refused("get_work_item", **arguments)["reason_code"] == "invalid_request"
    missing = "wi_00000000000000000000000000"
    assert agent.refused("get_work_item", work_item_id=missing)["reason_code"] == "not_found"
    assert agent.refused("search_work_items", cursor="forged")["reason_code"] == "invalid_cursor"
    simulated = agent.refused(
        "simulate_policy", policy_id="rules", version="1", facts={"item": {"workflow": "payments"}}
    )
    assert simulated["reason_code"] == "scope_missing"
    paths = [body["inputs"]["path"] for body in office.bodies("request.refused")]
    assert "/actions/execute" in paths or "/work-items" in paths


def test_an_author_simulates_a_policy(office: Office) -> None:
    author = Agent(office.api("ada"))
    facts = {"item": {"workflow": "payments", "payload": {"amount": 500}}, "ctx": {"action": "pay"}}
    simulation = author.done("simulate_policy", policy_id="rules", version="1", facts=facts)
    assert simulation["outcome"] == "require_approval"


def test_scopes_of_the_token_limit_the_tools(office: Office) -> None:
    office.join("bot", kind="agent", roles=("client",))
    reader = Agent(type(office.api("rita"))(make_token(office.tenant, office.people["bot"], ["workitems:read"])))
    assert reader.refused("submit_work_item", **PAYMENT)["reason_code"] == "scope_missing"
    assert reader.done("list_my_work")["data"] == []


def test_a_pending_approval_is_a_task_for_clients_that_know_tasks(office: Office) -> None:
    office.join("bot", kind="agent", roles=("client",))
    agent = Agent(office.api("bot"), extensions={TASKS: {}})
    plain = Agent(office.api("bot"))
    assert TASKS in agent.result("server/discover")["capabilities"]["extensions"]
    item = agent.done("submit_work_item", **PAYMENT)
    created = agent.call("execute_action", **pay(item))
    assert (created["resultType"], created["status"]) == ("task", "working")
    assert plain.done("execute_action", **pay(item))["execution_id"] == created["taskId"]  # without the extension
    assert agent.call("execute_action", **pay(item))["taskId"] == created["taskId"]
    task = agent.result("tasks/get", taskId=created["taskId"])
    assert (task["resultType"], task["status"]) == ("complete", "working")
    explanation = task["_meta"]["threada.dev/explanation"]
    assert any("finance" in text for text in explanation["waiting_for"])
    assert item["console_url"] in task["statusMessage"]
    assert agent.result("tasks/update", taskId=created["taskId"], inputResponses={})["resultType"] == "complete"

    with unit_of_work(office.tenant.id):
        step = DecisionStep.objects.get()
    office.vote(step, "fay")
    office.vote(step, "finn", "reject")
    rejected = agent.result("tasks/get", taskId=created["taskId"])
    assert (rejected["status"], rejected["result"]["isError"]) == ("completed", True)
    assert rejected["result"]["structuredContent"]["status"] == "rejected"
    assert agent.send("tasks/cancel", {"taskId": created["taskId"]}).json()["error"]["data"]["reason_code"] == (
        "execution_not_cancellable"
    )

    other = agent.done("submit_work_item", **PAYMENT, idempotency_key="other")
    second = agent.call("execute_action", **pay(other))
    assert agent.result("tasks/cancel", taskId=second["taskId"])["resultType"] == "complete"
    assert agent.result("tasks/get", taskId=second["taskId"])["status"] == "cancelled"
    office.join("eve", kind="agent", roles=("client",))
    stranger = Agent(office.api("eve"), extensions={TASKS: {}})
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        for task_id in (created["taskId"], "ex_00000000000000000000000000", "../me", "x" * 65):
            answer = stranger.send(method, {"taskId": task_id})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (400, -32602)
            assert len(task_id) > 64 or error["data"]["reason_code"] == "not_found"


def test_missing_evidence_is_asked_of_a_person_where_the_client_can_ask(agent: Agent, office: Office) -> None:
    asking = Agent(agent.api, elicitation={"form": {}})

    def answered(action: str, **more: Any) -> dict[str, Any]:
        content = {"content": more.pop("content")} if "content" in more else {}
        return asking.result(
            "tools/call", name="submit_work_item", arguments={**PAYMENT, **more},
            inputResponses={"justification": {"action": action, **content}},
        )  # fmt: skip

    asked = asking.call("submit_work_item", **PAYMENT)
    assert asked["resultType"] == "input_required"
    question = asked["inputRequests"]["justification"]
    assert (question["method"], question["params"]["requestedSchema"]["required"]) == (
        "elicitation/create",
        ["justification"],
    )
    with unit_of_work(office.tenant.id):
        assert WorkItem.objects.count() == 0
    cancelled = answered("cancel")
    assert (cancelled["isError"], cancelled["structuredContent"]["reason_code"]) == (True, "invalid_request")
    item = answered("accept", content={"justification": "Invoice 4711 is due.", "source": "mail"})["structuredContent"]
    evidence = agent.done("get_work_item", work_item_id=item["work_item_id"])["evidence"]
    assert [entry["content"] for entry in evidence] == [{"source": "mail", "quote": "Invoice 4711 is due."}]
    again = asking.call("submit_work_item", **PAYMENT)  # after a crash nobody is asked twice
    assert again["structuredContent"]["work_item_id"] == item["work_item_id"]

    keyed = {"idempotency_key": "k"}
    assert asking.call("submit_work_item", **PAYMENT, **keyed)["resultType"] == "input_required"
    declined = answered("decline", **keyed)["structuredContent"]
    assert declined["work_item_id"] != item["work_item_id"]
    assert asking.done("submit_work_item", **PAYMENT, **keyed)["work_item_id"] == declined["work_item_id"]
    evidence = agent.done("get_work_item", work_item_id=declined["work_item_id"])["evidence"]
    assert [entry["content"] for entry in evidence] == [{"reason": "no_evidence_supplied"}]
    wrong = asking.refused("submit_work_item", **{**PAYMENT, "confidence": 7})
    assert wrong["errors"][0]["pointer"] == "/confidence"
