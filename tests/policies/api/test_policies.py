"""API of policies and versions: draft, validate, publish, retire."""

from __future__ import annotations

from typing import Any

import pytest

from policies.models import Policy, PolicyVersion
from tests.client import Api
from tests.policies.over_http import ALLOW, DENY, client, pointers, refusal
from tests.policies.rulebooks import (
    receipt_kinds,
    receipts,
    rule,
    spec,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant


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
    fixed = SOURCE.replace("===", "== ''").replace("alow", "deny")
    created = admin.post("/policies", {"source": fixed})
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
        ({"policy_id": "p", "source": "- 1"}, "policy_document_invalid", ["/source"]),
        (
            {"policy_id": "p", "document": {"kind": "Policy", "id": "q", "spec": ALLOW}},
            "policy_document_invalid",
            ["/document/id"],
        ),
        ({"policy_id": "effective", "document": ALLOW}, "policy_document_invalid", ["/document/id"]),
    ],
)
def test_invalid_policies_are_refused(
    admin: Api, tenant: Tenant, body: Any, reason: str, named: list[str] | None
) -> None:
    answer = admin.post("/policies", body)
    assert refusal(answer) == (422, reason)
    assert named is None or pointers(answer) == named
    with unit_of_work(tenant.id):
        assert not Policy.objects.exists()


def test_editing_a_draft_requires_its_etag(admin: Api) -> None:
    tag = admin.post("/policies", {"policy_id": "payments", "document": ALLOW})["ETag"]
    path = "/policies/payments/versions/1"
    assert admin.get(path)["ETag"].startswith(tag[:-1] + "/")
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


def test_a_draft_that_fails_its_checks_is_not_saved(admin: Api, rulebook: dict[str, str]) -> None:
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


def test_a_draft_is_discarded(admin: Api, tenant: Tenant) -> None:
    path = admin.post("/policies", {"policy_id": "odd", "document": DENY})["Location"]
    assert admin.delete(path).status_code == 204
    assert (admin.get(path).json()["status"], admin.get(path).json()["document"]) == ("retired", DENY)
    assert refusal(admin.delete(path)) == (409, "version_not_draft")
    assert refusal(admin.post(f"{path}/publish")) == (409, "version_not_draft")
    with unit_of_work(tenant.id):
        assert receipts("policy.retired")[0]["outcome"] == {"status": "retired", "was_in_force": False}


def test_a_draft_that_no_longer_passes_its_checks_is_not_published(admin: Api, rulebook: dict[str, str]) -> None:
    """The draft covers more workflows than when it was saved."""
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


def test_rules_that_never_decide_are_warned_about(admin: Api) -> None:
    rules = [rule("large", "deny", "item.confidence < 0.5"), rule("late", "allow", "item.confidence < 0.5")]
    drafted = admin.post("/policies", {"policy_id": "payments", "document": spec(*rules, rule("rest", "allow"))})
    found = admin.post(f"/policies/payments/versions/{drafted.json()['version']}/validate").json()
    assert (found["valid"], found["errors"]) == (True, [])
    assert found["warnings"] == [
        {
            "pointer": "/rules/1",
            "detail": "Rule late never decides: rule large (deny) matches whenever it does. Remove it, or narrow large.",
            "code": "rule_unreachable",
        }
    ]


def test_an_error_in_a_condition_has_line_and_column(admin: Api) -> None:
    broken = spec(rule("rest", "allow", "item.confidence <\n foo"))
    answer = admin.post("/policies", {"policy_id": "payments", "document": broken})
    assert refusal(answer) == (422, "policy_document_invalid")
    (field_error,) = answer.json()["errors"]
    assert (field_error["pointer"], field_error["line"], field_error["column"]) == ("/document/rules/0/when", 2, 2)
