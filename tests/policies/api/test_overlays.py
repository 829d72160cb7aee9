"""API of overlays and effective policies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client import Api
from tests.policies.over_http import ALLOW, pointers, refusal
from tests.policies.rulebooks import (
    receipt_kinds,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.groups import define_group
from threada_site.kernel.context import system_context
from threada_site.tenancy.models import Tenant


def test_overlays_are_added_listed_and_removed(admin: Api, rulebook: dict[str, str], tenant: Tenant) -> None:
    body = {"policy_id": "payments", "scope": {"channel": "web_main"}}
    added = admin.post("/overlays", body)
    assert (added.status_code, added.json()["scope"]) == (201, {"channel": "web_main"})
    assert admin.post("/overlays", body).status_code == 200
    everything = admin.get("/overlays").json()["data"]
    assert [row["scope"] for row in everything] == [{"channel": "web_main"}, {"workflow": "payment_run"}]
    for query, count in (
        ({"workflow_id": "payment_run"}, 1),
        ({"channel_id": "web_main"}, 1),
        ({"workflow_id": "web_main"}, 0),
        ({"policy_id": "payments"}, 2),
        ({"policy_id": "other"}, 0),
    ):
        assert len(admin.get("/overlays", query).json()["data"]) == count
    removed = admin.send("DELETE", f"/overlays/{rulebook['overlay']}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert refusal(admin.send("DELETE", f"/overlays/{rulebook['overlay']}")) == (404, "not_found")
    with unit_of_work(tenant.id):
        assert [kind for kind in receipt_kinds() if kind.startswith("overlay.")] == [
            "overlay.added",
            "overlay.added",
            "overlay.removed",
        ]


@pytest.mark.parametrize(
    ("body", "reason", "named"),
    [
        ({"policy_id": "other", "scope": {"tenant": True}}, "document_invalid", ["/policy_id"]),
        ({"policy_id": "payments", "scope": {"workflow": "other"}}, "unknown_workflow", ["/scope/workflow"]),
        ({"policy_id": "payments", "scope": {"channel": "other"}}, "unknown_channel", ["/scope/channel"]),
        ({"policy_id": "payments", "scope": {}}, "invalid_request", ["/scope"]),
        ({"policy_id": "payments", "scope": {"tenant": False}}, "invalid_request", ["/scope/tenant"]),
        ({"policy_id": "payments"}, "invalid_request", ["/scope"]),
    ],
)
def test_overlays_need_existing_objects(
    admin: Api, rulebook: dict[str, str], body: Any, reason: str, named: list[str]
) -> None:
    answer = admin.post("/overlays", body)
    assert refusal(answer) == (422, reason)
    assert pointers(answer) == named
    assert len(admin.get("/overlays").json()["data"]) == 1


def test_effective_policies_are_ordered_from_wide_to_narrow(admin: Api, rulebook: dict[str, str]) -> None:
    admin.post("/policies", {"policy_id": "wide", "document": ALLOW})
    admin.post("/overlays", {"policy_id": "wide", "scope": {"tenant": True}})
    answer = admin.get("/policies/effective", {"workflow_id": "payment_run", "channel_id": "web_main"}).json()
    assert (answer["workflow_id"], answer["channel_id"]) == ("payment_run", "web_main")
    effective = [(row["policy_id"], row["scope"], row["version"], len(row["rules"])) for row in answer["policies"]]
    assert effective == [("wide", {"tenant": True}, None, 0), ("payments", {"workflow": "payment_run"}, 1, 4)]


def test_every_effective_rule_has_its_origin(admin: Api, rulebook: dict[str, str]) -> None:
    """A time-boxed exception on one channel overrides an overridable rule."""
    wide = {"rules": [{"id": "no", "when": "true", "effect": "deny", "reason": "NO", "overridable": True}]}
    narrow = {"rules": [{"id": "yes", "when": "true", "effect": "allow", "reason": "YES", "overrides": ["wide/no"]}]}
    for policy, document, scope in (("wide", wide, {"tenant": True}), ("narrow", narrow, {"channel": "web_main"})):
        version = admin.post("/policies", {"policy_id": policy, "document": document}).json()["policy_version_id"]
        assert admin.post(f"/policies/{policy}/versions/{version}/publish", {}).status_code == 200
        body = {"policy_id": policy, "scope": scope}
        if policy == "narrow":
            body |= {"starts_at": "2026-12-24T01:00:00+01:00", "ends_at": "2026-12-25T00:00:00Z"}
        made = admin.post("/overlays", body)
        assert made.status_code == 201, made.json()
    assert (made.json()["starts_at"], made.json()["ends_at"]) == (
        "2026-12-24T00:00:00.000Z",
        "2026-12-25T00:00:00.000Z",
    )
    query = {"workflow_id": "payment_run", "channel_id": "web_main"}
    during = admin.get("/policies/effective", {**query, "at": "2026-12-24T00:00:00Z"}).json()
    after = admin.get("/policies/effective", {**query, "at": "2026-12-25T00:00:00Z"}).json()
    assert (during["at"], during["group_ids"]) == ("2026-12-24T00:00:00.000Z", [])
    first, last = during["rules"][0], during["rules"][-1]
    assert (first["rule_id"], first["overridable"], first["origin"]["scope"]) == ("no", True, {"tenant": True})
    assert [(by["policy_id"], by["rule_id"], by["scope"]) for by in first["overriding_rules"]] == [
        ("narrow", "yes", {"channel": "web_main"})
    ]
    assert (last["rule_id"], last["overrides"], last["origin"]["overlay_id"]) == (
        "yes",
        ["wide/no"],
        made.json()["overlay_id"],
    )
    assert [row["policy_id"] for row in after["policies"]] == ["wide", "payments"]
    assert after["rules"][0]["overriding_rules"] == []


def test_effective_rules_include_the_named_groups(admin: Api, rulebook: dict[str, str], tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        ctx = system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id="c")
        define_group("emea", [], ctx=ctx)
    made = admin.post("/overlays", {"policy_id": "payments", "scope": {"group": "emea"}})
    assert made.status_code == 201
    assert [row["overlay_id"] for row in admin.get("/overlays", {"group_id": "emea"}).json()["data"]] == [
        made.json()["overlay_id"]
    ]
    query = {"workflow_id": "payment_run"}
    assert len(admin.get("/policies/effective", query).json()["policies"]) == 1
    named = admin.get("/policies/effective", {**query, "group_id": "emea"}).json()
    assert [row["scope"] for row in named["policies"]] == [{"workflow": "payment_run"}, {"group": "emea"}]
    unknown = admin.get("/policies/effective", {**query, "group_id": "emea,nobody"})
    assert (refusal(unknown), pointers(unknown)) == ((422, "unknown_group"), ["?group_id"])


@pytest.mark.parametrize(
    ("query", "reason", "named"),
    [
        ({}, "invalid_request", ["?workflow_id"]),
        ({"workflow_id": "other"}, "unknown_workflow", ["?workflow_id"]),
        ({"workflow_id": "payment_run", "channel_id": "other"}, "unknown_channel", ["?channel_id"]),
        ({"workflow_id": "payment_run", "chanel_id": "web_main"}, "invalid_request", ["?chanel_id"]),
    ],
)
def test_effective_rules_need_existing_objects(
    admin: Api, rulebook: dict[str, str], query: dict[str, str], reason: str, named: list[str]
) -> None:
    answer = admin.get("/policies/effective", query)
    assert refusal(answer) == (422, reason)
    assert pointers(answer) == named
