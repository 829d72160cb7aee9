"""The rulebook over HTTP: what is allowed, what is refused, and what each answer says."""

from __future__ import annotations

from typing import Any

import pytest

from policies.models import Channel, Overlay, Policy, PolicyVersion, WorkflowVersion
from policies.services.decide import decide
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.policies.rulebooks import (
    PAYMENT_SCHEMA,
    PAYMENTS,
    asking,
    put_in_force,
    put_payment_run,
    receipt_kinds,
    receipts,
    rule,
    spec,
)
from threada_site.identity.services import define_group
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.unit_of_work import unit_of_work

ALLOW, DENY = spec(rule("yes", "allow")), spec(rule("no", "deny"))
PAYMENT_RUN = {"workflow_id": "payment_run", "name": "Payment run", "spec": {"payload_schema": PAYMENT_SCHEMA}}


@pytest.fixture
def admin(tenant: Tenant) -> Api:
    return client(tenant, "ada", "tenant_admin")


def client(tenant: Tenant, name: str, role: str) -> Api:
    return Api(make_token(tenant, make_principal(tenant, name, roles=[role])))


@pytest.fixture
def rulebook(ctx: ActingContext) -> dict[str, str]:
    """A rulebook in force; the names by which paths refer to it."""
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        version = put_in_force(PAYMENTS, ctx=ctx)
        overlay = Overlay.objects.get()
        decision = decide(asking(), ctx=ctx)
    return {"version": version.public_id, "overlay": overlay.public_id, "decision": decision.public_id}


def refusal(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["reason_code"]


def pointers(answer: Any) -> list[str]:
    return [entry["pointer"] for entry in answer.json()["errors"]]


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


def test_a_workflow_is_created_once_and_versioned(admin: Api, tenant: Tenant) -> None:
    created = admin.post("/workflows", PAYMENT_RUN)
    assert (created.status_code, created["Location"]) == (201, "/workflows/payment_run")
    assert created.json()["spec"]["payload_schema"] == PAYMENT_SCHEMA
    assert refusal(admin.post("/workflows", PAYMENT_RUN)) == (409, "conflict")
    changed = {"spec": {"payload_schema": PAYMENT_SCHEMA, "channel_required": True}}
    answers = [admin.post("/workflows/payment_run/versions", changed) for _ in range(2)]
    assert [(answer.status_code, answer.json()["version"]) for answer in answers] == [(201, 2), (200, 2)]
    read = admin.get("/workflows/payment_run").json()
    assert (read["version"], read["name"], read["channel_required"]) == (2, "Payment run", True)
    assert [row["version"] for row in admin.get("/workflows/payment_run/versions").json()["data"]] == [2, 1]
    assert [row["workflow_id"] for row in admin.get("/workflows").json()["data"]] == ["payment_run"]
    with unit_of_work(tenant.id):
        added = receipts("workflow.version_added")
        assert [entry["actor"]["entry_point"] for entry in added] == ["api", "api"]


def test_what_is_wrong_with_a_workflow_points_into_the_body(admin: Api) -> None:
    bad_schema = {"workflow_id": "x", "spec": {"payload_schema": {"type": "strnig"}, "reject_reasons": ["no"]}}
    answer = admin.post("/workflows", bad_schema)
    assert refusal(answer) == (422, "document_invalid")
    assert pointers(answer) == ["/spec/payload_schema/type", "/spec/reject_reasons/0"]
    answer = admin.post("/workflows", {"workflow_id": "X y", "spec": {"actoins": []}})
    assert refusal(answer) == (422, "invalid_request")
    assert sorted(pointers(answer)) == ["/spec/actoins", "/workflow_id"]
    assert admin.get("/workflows").json()["data"] == []


def test_channels(admin: Api, tenant: Tenant) -> None:
    created = admin.post("/channels", {"channel_id": "web_main", "name": "Web form"})
    assert (created.status_code, created["Location"]) == (201, "/channels/web_main")
    assert admin.get("/channels/web_main").json() == created.json()
    assert refusal(admin.post("/channels", {"channel_id": "web_main", "name": "Other"})) == (409, "conflict")
    with unit_of_work(tenant.id):
        assert Channel.objects.get().name == "Web form"
        assert receipt_kinds()[-2:] == ["channel.created", "request.refused"]


def test_an_idempotent_create_is_answered_again(admin: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = (admin.post("/channels", {"channel_id": "web_main"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert (again["Idempotent-Replayed"], again["Content-Type"]) == ("true", "application/json")
    assert again["Location"] == first["Location"]


def test_a_policy_from_draft_to_retirement(admin: Api, tenant: Tenant) -> None:
    drafted = admin.post("/policies", {"policy_id": "payments", "document": ALLOW})
    assert (drafted.status_code, drafted["Location"]) == (201, "/policies/payments/versions/1")
    assert (drafted.json()["status"], drafted.json()["in_force"]) == ("draft", False)
    assert admin.get("/policies/payments").json()["policy_version_id"] is None
    path = f"/policies/payments/versions/{drafted.json()['policy_version_id']}"
    assert admin.post(f"{path}/validate").json() == {
        "policy_version_id": drafted.json()["policy_version_id"],
        "valid": True,
        "workflows": [],
        "errors": [],
        "warnings": [],
    }
    published = admin.post(f"{path}/publish", {"applies_to_open": True})
    assert (published.status_code, published.json()["status"], published.json()["in_force"]) == (200, "published", True)
    assert admin.get("/policies/payments").json()["version"] == 1
    assert refusal(admin.post(f"{path}/publish")) == (409, "version_not_draft")
    retired = admin.post(f"{path}/retire")
    assert (retired.json()["status"], retired.json()["in_force"]) == ("retired", False)
    assert refusal(admin.post(f"{path}/retire")) == (409, "transition_not_allowed")
    assert admin.get("/policies/payments").json()["policy_version_id"] is None
    assert admin.get("/policies/payments/versions", {"status": "retired"}).json()["data"][0]["version"] == 1
    assert admin.get("/policies/payments/versions", {"status": "draft"}).json()["data"] == []
    with unit_of_work(tenant.id):
        assert [kind for kind in receipt_kinds() if kind.startswith("policy.")] == [
            "policy.version_drafted",
            "policy.published",
            "policy.retired",
        ]
        refused = receipts("request.refused")
        assert {entry["subject"]["policy_version_id"] for entry in refused} == {drafted.json()["policy_version_id"]}


def test_a_policy_is_created_once(admin: Api, tenant: Tenant) -> None:
    admin.post("/policies", {"policy_id": "payments", "document": ALLOW})
    for document in (ALLOW, DENY):
        assert refusal(admin.post("/policies", {"policy_id": "payments", "document": document})) == (409, "conflict")
    with unit_of_work(tenant.id):
        assert PolicyVersion.objects.count() == 1
    again = admin.post("/policies/payments/versions", {"document": ALLOW})
    other = admin.post("/policies/payments/versions", {"document": DENY})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert (other.status_code, other.json()["version"], other["Location"]) == (201, 2, "/policies/payments/versions/2")


SOURCE = """\
kind: Policy
id: payments
spec:
  rules:
    - {id: yes-please, when: "true", effect: allow, reason: "YES"}
    - id: misspelt
      when: "ctx.action ==="
      effect: alow
      reason: NO
"""


def test_a_policy_may_be_sent_as_yaml(admin: Api) -> None:
    answer = admin.post("/policies", {"source": SOURCE})
    assert refusal(answer) == (422, "policy_document_invalid")
    errors = {entry["pointer"]: entry["detail"] for entry in answer.json()["errors"]}
    assert errors.keys() == {"/source/spec/rules/1/when", "/source/spec/rules/1/effect"}
    assert errors["/source/spec/rules/1/when"].startswith("source line 7, column 27: ")
    assert errors["/source/spec/rules/1/effect"] == "source line 8, column 7: 'alow' is no effect. Did you mean allow?"
    mended = SOURCE.replace("===", "== ''").replace("alow", "deny")
    created = admin.post("/policies", {"source": mended})
    assert created.status_code == 201
    assert created.json()["policy_id"] == "payments"
    assert [row["id"] for row in created.json()["document"]["rules"]] == ["yes-please", "misspelt"]


@pytest.mark.parametrize(
    ("body", "reason", "named"),
    [
        ({"policy_id": "p"}, "invalid_request", ["/document"]),
        ({"policy_id": "p", "document": ALLOW, "source": "{}"}, "invalid_request", ["/document"]),
        ({"document": ALLOW}, "invalid_request", ["/policy_id"]),
        ({"policy_id": "p", "document": {"rules": [{}]}}, "policy_document_invalid", None),
        ({"policy_id": "p", "source": "a: [\n"}, "document_invalid", ["/source/a/0"]),
        ({"policy_id": "p", "source": "a: 1\n---\nb: 2"}, "document_invalid", ["/source"]),
        ({"policy_id": "p", "source": "# nothing"}, "document_invalid", ["/source"]),
        ({"policy_id": "p", "source": "- 1"}, "policy_document_invalid", []),
        (
            {"policy_id": "p", "document": {"kind": "Policy", "id": "q", "spec": ALLOW}},
            "policy_document_invalid",
            ["/document/id"],
        ),
        ({"policy_id": "effective", "document": ALLOW}, "policy_document_invalid", ["/document/id"]),
    ],
)
def test_what_is_no_policy_is_refused(
    admin: Api, tenant: Tenant, body: Any, reason: str, named: list[str] | None
) -> None:
    answer = admin.post("/policies", body)
    assert refusal(answer) == (422, reason)
    assert named is None or pointers(answer) == named
    with unit_of_work(tenant.id):
        assert not Policy.objects.exists()


def test_a_draft_is_edited_only_by_who_has_read_it(admin: Api) -> None:
    tag = admin.post("/policies", {"policy_id": "payments", "document": ALLOW})["ETag"]
    path = "/policies/payments/versions/1"
    assert admin.get(path)["ETag"] == tag
    assert refusal(admin.patch(path, {"document": DENY})) == (428, "precondition_required")
    edited = admin.patch(path, {"document": DENY}, headers={"If-Match": tag})
    assert (edited.status_code, edited.json()["document"]) == (200, DENY)
    assert refusal(admin.patch(path, {"document": ALLOW}, headers={"If-Match": tag})) == (412, "precondition_failed")
    stale = admin.post(f"{path}/publish", headers={"If-Match": tag})
    assert refusal(stale) == (412, "precondition_failed")
    published = admin.post(f"{path}/publish", headers={"If-Match": edited["ETag"]})
    assert published.status_code == 200
    late = admin.patch(path, {"document": ALLOW}, headers={"If-Match": published["ETag"]})
    assert refusal(late) == (409, "version_not_draft")


def test_what_does_not_pass_its_checks_is_not_saved(admin: Api, rulebook: dict[str, str]) -> None:
    tests = [{"given": {"item": {"payload": {"vendor": "Hooli"}}}, "expect": {"effect": "deny"}}]
    path = admin.post("/policies/payments/versions", {"document": DENY})["Location"]
    for document, reason, named in (
        ({**ALLOW, "tests": tests}, "policy_tests_failed", ["/document/tests/0"]),
        (spec(rule("odd", "allow", "item.payload.amount > 1")), "policy_document_invalid", ["/document/rules/0/when"]),
    ):
        sent = {"document": document}
        edited = admin.patch(path, sent, headers={"If-Match": admin.get(path)["ETag"]})
        for answer in (admin.post("/policies/payments/versions", sent), edited):
            assert refusal(answer) == (422, reason)
            assert pointers(answer) == named
    assert admin.get(path).json()["document"] == DENY
    assert len(admin.get("/policies/payments/versions").json()["data"]) == 2


def test_what_does_not_pass_its_checks_any_more_is_not_published(admin: Api, rulebook: dict[str, str]) -> None:
    """A draft that reaches more than when it was saved."""
    odd = {"policy_id": "odd", "document": spec(rule("odd", "allow", "item.payload.amount > 1"))}
    path = admin.post("/policies", odd)["Location"]
    assert admin.post(f"{path}/validate").json()["valid"] is True
    admin.post("/overlays", {"policy_id": "odd", "scope": {"workflow": "payment_run"}})
    validation = admin.post(f"{path}/validate").json()
    assert (validation["valid"], validation["workflows"]) == (False, ["payment_run"])
    assert [entry["pointer"] for entry in validation["errors"]] == ["/rules/0/when"]
    answer = admin.post(f"{path}/publish")
    assert refusal(answer) == (422, "policy_document_invalid")
    assert pointers(answer) == ["/rules/0/when"]
    assert admin.get("/policies/odd").json()["policy_version_id"] is None


def test_an_author_drafts_and_does_not_publish(tenant: Tenant, rulebook: dict[str, str]) -> None:
    author, publisher = client(tenant, "ann", "policy_author"), client(tenant, "pat", "policy_publisher")
    path = author.post("/policies/payments/versions", {"document": DENY})["Location"]
    assert refusal(author.post(f"{path}/publish")) == (403, "scope_missing")
    overlay = {"policy_id": "payments", "scope": {"tenant": True}}
    assert refusal(author.post("/overlays", overlay)) == (403, "scope_missing")
    assert refusal(publisher.post("/policies/payments/versions", {"document": ALLOW})) == (403, "scope_missing")
    assert publisher.post(f"{path}/publish").status_code == 200


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
def test_overlays_bind_what_exists(
    admin: Api, rulebook: dict[str, str], body: Any, reason: str, named: list[str]
) -> None:
    answer = admin.post("/overlays", body)
    assert refusal(answer) == (422, reason)
    assert pointers(answer) == named
    assert len(admin.get("/overlays").json()["data"]) == 1


def test_what_is_in_effect_is_told_from_wide_to_narrow(admin: Api, rulebook: dict[str, str]) -> None:
    admin.post("/policies", {"policy_id": "wide", "document": ALLOW})
    admin.post("/overlays", {"policy_id": "wide", "scope": {"tenant": True}})
    answer = admin.get("/policies/effective", {"workflow_id": "payment_run", "channel_id": "web_main"}).json()
    assert (answer["workflow_id"], answer["channel_id"]) == ("payment_run", "web_main")
    told = [(row["policy_id"], row["scope"], row["version"], len(row["rules"])) for row in answer["policies"]]
    assert told == [("wide", {"tenant": True}, None, 0), ("payments", {"workflow": "payment_run"}, 1, 4)]


def test_every_rule_in_effect_is_told_with_its_origin(admin: Api, rulebook: dict[str, str]) -> None:
    """A time-boxed exception of one channel loosens the rule that allows it."""
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
    assert [(by["policy_id"], by["rule_id"], by["scope"]) for by in first["overridden_by"]] == [
        ("narrow", "yes", {"channel": "web_main"})
    ]
    assert (last["rule_id"], last["overrides"], last["origin"]["overlay_id"]) == (
        "yes",
        ["wide/no"],
        made.json()["overlay_id"],
    )
    assert [row["policy_id"] for row in after["policies"]] == ["wide", "payments"]
    assert after["rules"][0]["overridden_by"] == []


def test_rules_for_groups_are_told_for_the_groups_that_are_named(
    admin: Api, rulebook: dict[str, str], tenant: Tenant
) -> None:
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
def test_what_is_asked_in_effect_must_exist(
    admin: Api, rulebook: dict[str, str], query: dict[str, str], reason: str, named: list[str]
) -> None:
    answer = admin.get("/policies/effective", query)
    assert refusal(answer) == (422, reason)
    assert pointers(answer) == named


def test_a_decision_is_read_whole(admin: Api, rulebook: dict[str, str]) -> None:
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


def test_rules_that_never_decide_are_warned_about(admin: Api) -> None:
    rules = [rule("large", "deny", "item.confidence < 0.5"), rule("late", "allow", "item.confidence < 0.5")]
    drafted = admin.post("/policies", {"policy_id": "payments", "document": spec(*rules, rule("rest", "allow"))})
    found = admin.post(f"/policies/payments/versions/{drafted.json()['version']}/validate").json()
    assert (found["valid"], found["errors"]) == (True, [])
    assert found["warnings"] == [
        {
            "pointer": "/rules/1",
            "detail": "Rule late never decides: rule large (deny) holds whenever it does. Remove it, or narrow large.",
            "code": "rule_unreachable",
        }
    ]


def test_a_problem_inside_a_condition_says_line_and_column(admin: Api) -> None:
    broken = spec(rule("rest", "allow", "item.confidence <\n foo"))
    answer = admin.post("/policies", {"policy_id": "payments", "document": broken})
    assert refusal(answer) == (422, "policy_document_invalid")
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["line"], problem["column"]) == ("/document/rules/0/when", 2, 2)
