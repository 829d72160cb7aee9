"""API of the rulebook: access, not found, idempotency and pagination of all endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from policies.models import Overlay, PolicyVersion, WorkflowVersion
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.policies.over_http import DENY, client, refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

ENDPOINTS = [
    ("GET", "/workflows", "workitems:read"),
    ("POST", "/workflows", "workflow:manage"),
    ("GET", "/workflows/payment_run", "workitems:read"),
    ("GET", "/workflows/payment_run/versions", "workitems:read"),
    ("POST", "/workflows/payment_run/versions", "workflow:manage"),
    ("GET", "/channels", "workitems:read"),
    ("POST", "/channels", "workflow:manage"),
    ("GET", "/channels/web_main", "workitems:read"),
    ("GET", "/policies", "workitems:read"),
    ("POST", "/policies", "policies:write"),
    ("GET", "/policies/payments", "workitems:read"),
    ("GET", "/policies/payments/versions", "workitems:read"),
    ("POST", "/policies/payments/versions", "policies:write"),
    ("GET", "/policies/payments/versions/1", "workitems:read"),
    ("PATCH", "/policies/payments/versions/1", "policies:write"),
    ("POST", "/policies/payments/versions/1/validate", "policies:write"),
    ("POST", "/policies/payments/versions/1/publish", "policies:publish"),
    ("POST", "/policies/payments/versions/1/retire", "policies:publish"),
    ("GET", "/overlays", "workitems:read"),
    ("POST", "/overlays", "policies:publish"),
    ("DELETE", "/overlays/{overlay}", "policies:publish"),
    ("GET", "/policies/effective?workflow_id=payment_run", "workitems:read"),
    ("GET", "/policy-decisions/{decision}", "workitems:read"),
]


BODIES: dict[str, Any] = {
    "/workflows/payment_run/versions": {"spec": {}},
    "/policies/payments/versions": {"document": DENY},
    "/policies/payments/versions/1": {"document": DENY},
}


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS)
def test_every_endpoint_fails_closed(
    tenant: Tenant, other_tenant: Tenant, rulebook: dict[str, str], method: str, path: str, scope: str
) -> None:
    path = path.format(**rulebook)
    body = BODIES.get(path)
    assert refusal(Api().send(method, path, body)) == (401, "credential_missing")
    lacking = "auditor" if scope != "workitems:read" else "tenant_admin"
    principal = make_principal(tenant, "mallory", roles=[lacking])
    token = make_token(tenant, principal, scopes=["telemetry:read"])
    answer = Api(token).send(method, path, body)
    assert refusal(answer) == (403, "scope_missing")
    assert scope in answer.json()["detail"]
    if path.count("/") > 1:
        stranger = client(other_tenant, "eve", "tenant_admin")
        expected = (422, "unknown_workflow") if "effective" in path else (404, "not_found")
        assert refusal(stranger.send(method, path, body)) == expected
    with unit_of_work(tenant.id):
        assert (WorkflowVersion.objects.count(), PolicyVersion.objects.count(), Overlay.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize(
    "path",
    [
        "/workflows/Nothing!",
        "/workflows/nothing",
        "/channels/nothing",
        "/policies/nothing/versions",
        "/policies/payments/versions/2",
        "/policies/payments/versions/pv_x",
        "/policy-decisions/pd_x",
        "/policy-decisions/01jz0000000000000000000000",
    ],
)
def test_what_is_not_there_is_not_found(admin: Api, rulebook: dict[str, str], path: str) -> None:
    assert refusal(admin.get(path)) == (404, "not_found")


def test_an_idempotent_create_returns_the_first_response(admin: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = (admin.post("/channels", {"channel_id": "web_main"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert (again["Idempotent-Replayed"], again["Content-Type"]) == ("true", "application/json")
    assert again["Location"] == first["Location"]


def test_a_decision_is_returned_completely(admin: Api, rulebook: dict[str, str]) -> None:
    answer = admin.get(f"/policy-decisions/{rulebook['decision']}").json()
    assert (answer["outcome"], answer["reason_codes"], answer["point"]) == ("allow", ["WITHIN_LIMITS"], "intake")
    assert answer["policy_version_id"] == rulebook["version"]
    assert answer["matched"][0]["rule"] == "within-limits"
    assert answer["facts"]["item"]["payload"] == {"vendor": "Hooli", "amount_minor": 5}
    assert list(answer["list_versions"]) == ["sanctioned_vendors"]
    unknown = ids.public_id(ids.POLICY_DECISION, ids.new_uuid())
    assert refusal(admin.get(f"/policy-decisions/{unknown}")) == (404, "not_found")


def test_lists_page_by_cursor(admin: Api) -> None:
    for number in range(5):
        admin.post("/channels", {"channel_id": f"c{number}"})
    seen, query = [], {"limit": 2}
    while True:
        page = admin.get("/channels", query).json()
        seen += [row["channel_id"] for row in page["data"]]
        if not page["has_more"]:
            break
        query = {"limit": 2, "cursor": page["next_cursor"]}
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    assert refusal(admin.get("/workflows", {"cursor": "x"})) == (400, "invalid_cursor")
    assert refusal(admin.get("/policies", {"stauts": "x"})) == (422, "invalid_request")
