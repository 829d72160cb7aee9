"""Callers of the MCP server that it must not trust, and older clients."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.client import Api
from tests.factories import PASSWORD, make_principal, make_tenant, make_token
from tests.workitems.mcp.agent import Agent
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.browser_origins import forget_origins
from threada_site.tenancy.models import Tenant

ACCEPTED = {"Accept": "application/json, text/event-stream"}
METHODS: dict[str, dict[str, Any]] = {
    "server/discover": {},
    "tools/list": {},
    "ping": {},
    "nonsense": {},
    "tools/call": {"name": "list_workflows", "arguments": {}},
    "tasks/get": {"taskId": "ex_00000000000000000000000000"},
    "tasks/cancel": {"taskId": "ex_00000000000000000000000000"},
}


def initialize(version: str) -> dict[str, Any]:
    info = {"name": "old", "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


@pytest.mark.parametrize("method", METHODS)
def test_no_message_is_answered_without_a_valid_token(office: Office, method: str, settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    for api in (Api(), Api("thr_" + "a" * 43), Api(headers={"Authorization": "Basic YTpi"})):
        answer = Agent(api).send(method, METHODS[method])
        assert answer.status_code == 401
        assert answer.json()["reason_code"] in {"credential_missing", "credential_invalid"}
        metadata = "https://threada.example/.well-known/oauth-protected-resource"
        assert f'resource_metadata="{metadata}"' in answer["WWW-Authenticate"]


def test_cookies_are_no_credential(office: Office) -> None:
    person = make_principal(office.tenant, "kim", roles=("tenant_admin",))
    person.set_password(PASSWORD)
    person.save()
    browser = Client()
    browser.force_login(person)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = browser.post("/mcp", message, content_type="application/json", headers=ACCEPTED)
    assert (answer.status_code, answer.json()["reason_code"]) == (401, "credential_missing")
    token = make_token(office.tenant, person)
    with_both = browser.post(
        "/mcp", message, content_type="application/json", headers={**ACCEPTED, "Authorization": f"Bearer {token}"}
    )
    assert with_both.status_code == 200
    assert not with_both.cookies


def test_pages_of_other_origins_are_refused_unless_listed(office: Office) -> None:
    agent = Agent(office.api("rita"))
    for origin in ("https://evil.example", "null", "http://testserver.evil.example"):
        refused = agent.send("tools/list", Origin=origin)
        assert (refused.status_code, refused.json()["reason_code"]) == (403, "permission_denied")
    assert agent.send("tools/list", Origin="http://testserver").status_code == 200
    assert agent.send("tools/list", Host="evil.example").status_code == 400  # DNS rebinding names another host
    with unit_of_work(office.tenant.id):
        Tenant.objects.filter(id=office.tenant.id).update(browser_origins=["https://page.example"])
    forget_origins()
    answer = agent.send("tools/list", Origin="https://page.example")
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "https://page.example")
    forget_origins()


def test_another_tenant_learns_nothing(office: Office) -> None:
    item = Agent(office.api("rita")).done(
        "submit_work_item", workflow_id="payments", channel_id="web", payload={"amount": 5}
    )
    other = make_tenant("other")
    stranger = Agent(Api(make_token(other, make_principal(other, "eve", kind="agent", roles=("client",)))))
    named = {"work_item_id": item["work_item_id"]}
    unknown = {"work_item_id": "wi_00000000000000000000000000"}
    for tool, more in (("get_work_item", {}), ("explain_work_item", {}),
                       ("execute_action", {"action_id": "pay", "integration_id": "bank"})):  # fmt: skip
        problems = [stranger.refused(tool, **target, **more) for target in (named, unknown)]
        assert [problem["reason_code"] for problem in problems] == ["not_found"] * 2
        assert len({problem["detail"] for problem in problems}) == 1
    assert stranger.refused("get_workflow", workflow_id="payments")["reason_code"] == "not_found"
    assert stranger.done("search_work_items")["data"] == []
    claimed = stranger.send("tools/list", **{"Threada-Tenant": office.tenant.slug})
    assert (claimed.status_code, claimed.json()["reason_code"]) == (403, "tenant_mismatch")


def test_bad_messages_are_refused_and_change_nothing(office: Office, settings: Settings) -> None:
    api = office.api("rita")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = api.send(method, "/mcp", headers=ACCEPTED)
        assert (answer.status_code, answer["Allow"]) == (405, "POST")
    for body in (b"", b"{", b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b'"x"', b"null", b"{}",
                 b'{"jsonrpc":"2.0","id":1,"method":["tools/call"]}', b'{"a":1,"a":2}', b"[" * 200 + b"]" * 200,
                 b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}',
                 b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', b'{"x":NaN}', b"\xff"):  # fmt: skip
        for more in ({}, {"MCP-Protocol-Version": "2026-07-28"}, {"MCP-Protocol-Version": "x"}):
            answer = api.send("POST", "/mcp", body, headers={**ACCEPTED, **more})
            is_answered = b'"name":5' in body and not more  # as an error of the tool, in the older protocol
            assert answer.status_code == (200 if is_answered else 400), (body, more, answer.content)
            assert answer.json()["error"]["code"] < 0
    text = api.send("POST", "/mcp", b"{}", headers=ACCEPTED, content_type="text/plain")
    assert text.status_code == 400
    settings.THREADA_MAX_BODY_BYTES = 1000
    large = api.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping", "x": "y" * 2000}, headers=ACCEPTED)
    assert (large.status_code, large.json()["error"]["data"]["reason_code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_older_handshakes_are_answered(office: Office, version: str) -> None:
    api = office.api("rita")
    answer = api.post("/mcp", initialize(version), headers=ACCEPTED)
    assert answer.json()["result"]["protocolVersion"] == version
    assert "Mcp-Session-Id" not in answer
    headers = {**ACCEPTED, "MCP-Protocol-Version": version}
    started = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert api.post("/mcp", started, headers=headers).status_code == 202
    call = {"name": "list_workflows", "arguments": {}}
    result = api.post("/mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}, headers=headers)
    assert '"payments"' in result.json()["result"]["content"][0]["text"]


def test_each_message_draws_from_the_limits_of_the_credential(office: Office, settings: Settings) -> None:
    settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "credential": 1}
    settings.THREADA_RATE_BURST_SECONDS = 4
    agent = Agent(office.api("rita"))
    statuses = [
        agent.send(method, METHODS[method]).status_code
        for method in ("tools/list", "tools/call", "ping", "nonsense", "tools/list", "tools/call", "server/discover")
    ]
    assert statuses[-1] == 429
    refused = agent.send("tools/call", METHODS["tools/call"])
    assert (refused.status_code, refused.json()["reason_code"]) == (429, "rate_limited")
    assert int(refused["Retry-After"]) >= 1


def test_without_the_sdk_the_answer_says_what_to_install(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threada_site.kernel.extras.find_spec", lambda name: None)
    answer = Agent(office.api("rita")).send("tools/list")
    assert (answer.status_code, answer.json()["reason_code"]) == (501, "optional_package_missing")
    assert "uv sync --extra mcp" in answer.json()["detail"]
    assert sys.modules.get("mcp") is not None  # only the look-up failed
