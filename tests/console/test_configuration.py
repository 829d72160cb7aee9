"""Configuration in the console: forms call services, refusals keep the entered values, edits are listed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.messages import get_messages
from django.urls import reverse

from policies.models import Policy
from telemetry.models import Receipt
from tests.client import Api
from tests.console.busy import Busy
from tests.console.sign_in import Console, confirm, step_up
from tests.factories import make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import User

DRAFT = """\
kind: Policy
id: payments
spec:
  rules:
    - {id: nothing, when: "true", effect: deny, reason: CLOSED}
"""


def kinds(demo: Demo) -> list[str]:
    with unit_of_work(demo.tenant.id):
        return list(Receipt.objects.order_by("id").values_list("kind", flat=True))


def test_a_policy_is_drafted_edited_published_and_retired(demo: Demo, console: Console) -> None:
    browser = console("admin")
    page = browser.post("/console/policies/policy/payments/new-draft/", {"document": DRAFT})
    assert page.status_code == 302
    version = page["Location"]
    shown = browser.get(version)
    assert shown.context["row"].status == "draft"
    digest = shown.context["row"].document_sha256
    edited = browser.post(version + "edit/", {"document": DRAFT.replace("CLOSED", "SHUT")})
    assert edited["Location"] == version
    stale = confirm(browser, version + "publish/", {"document_sha256": digest})
    assert "precondition_failed" in str(list(get_messages(stale.wsgi_request))[-1])
    digest = browser.get(version).context["row"].document_sha256
    confirm(browser, version + "publish/", {"document_sha256": digest})
    with unit_of_work(demo.tenant.id):
        assert Policy.objects.select_related("in_force").get(slug="payments").in_force.number == 2
    confirm(browser, version + "retire/")
    assert kinds(demo)[-5:] == [
        "policy.version_drafted", "policy.version_edited", "request.refused", "policy.published", "policy.retired",
    ]  # fmt: skip
    edits = browser.get(version).context["edits"]
    assert [(edit.by, edit.through) for edit in edits] == [("admin", "console")] * 4
    assert edits[0].changes[0] == ("status", "published", "retired")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (DRAFT.replace('"true"', '"item."'), "line 5"),
        ("kind: [", "document_invalid"),
        ("kind: Policy\nid: other\nspec: {rules: []}\n", "payments"),
        ("a: 1\n---\nb: 2\n", "Write one document"),
    ],
)  # fmt: skip
def test_a_bad_document_comes_back_with_its_lines(document: str, said: str, demo: Demo, console: Console) -> None:
    before = len(kinds(demo))
    page = console("admin").post("/console/policies/policy/payments/new-draft/", {"document": document})
    assert page.status_code == 422
    text = page.content.decode()
    assert said in text, re.findall(r'role="alert">.*?</div>', text, re.DOTALL)
    assert page.request["PATH_INFO"].endswith("new-draft/")
    assert kinds(demo)[before:] == ["request.refused"]


def test_overlays_channels_lists_and_integrations_are_created_and_changed(
    demo: Demo, console: Console, settings: Any
) -> None:
    browser = console("admin")
    overlay = browser.post("/console/policies/overlay/new/", {"policy": "payments", "scope": "channel/agent_desk"})
    assert overlay.status_code == 422  # the conditions do not match all payloads of the channel
    channel = browser.post("/console/policies/channel/new/", {"slug": "fax", "name": "Fax"})
    assert channel["Location"] == reverse("admin:policies_channel_change", args=["fax"])
    assert browser.post("/console/policies/channel/new/", {"slug": "fax", "name": "Fax"}).status_code == 422
    assert browser.post("/console/policies/channel/new/", {"slug": "Not A Slug", "name": ""}).status_code == 422
    browser.post("/console/policies/channel/fax/rename/", {"name": "Telefax"})
    overlay = browser.post("/console/policies/overlay/new/", {"policy": "policy_review_rules", "scope": "channel/fax"})
    assert overlay.status_code == 302
    assert confirm(browser, overlay["Location"] + "remove/").status_code == 302
    assert browser.get(overlay["Location"]).status_code == 404
    listed = confirm(browser, "/console/policies/list/sanctioned_vendors/change-items/", {"items": "Initech\nHooli"})
    assert listed.status_code == 302
    document = (
        "kind: Integration\nid: int_tickets\nname: Tickets\nspec:\n  connector: http\n"
        "  base_url: https://tickets.example\n  actions:\n    open: {method: POST, path: /tickets}\n"
    )
    made = browser.post("/console/integrations/integration/new/", {"document": document})
    assert made["Location"] == reverse("admin:integrations_integration_change", args=["int_tickets"])
    secret = document.replace("  actions:", "  auth: {scheme: bearer, secret: {env: PATH}}\n  actions:")
    for listed_for in (
        ["env:OTHER@https://tickets.example"],
        ["globex/env:PATH@https://tickets.example"],
        ["env:PATH"],
    ):
        settings.THREADA_SECRET_REFS = listed_for
        refused = confirm(browser, "/console/integrations/integration/int_tickets/new-version/", {"document": secret})
        assert "(secret_reference_not_allowed)" in refused.content.decode()
    assert [edit.action for edit in browser.get(made["Location"]).context["edits"]] == ["changed"]


def test_a_credential_of_a_service_is_shown_once_and_can_be_revoked(demo: Demo, console: Console) -> None:
    browser = step_up(console("admin"))
    asked = {"principal": "demo-client", "scopes": ["workitems:read"], "days": "7", "label": "laptop"}
    page = browser.post("/console/tenancy/credential/issue/", asked)
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    (token,) = re.findall(r"thr_[A-Za-z0-9]{20,}", page.content.decode())
    assert Api(token).get("/me").status_code == 200
    address = page.context["onward"]
    assert token not in browser.get(address).content.decode()
    assert browser.get(address).context["issuer"] == "admin"
    assert token not in str(dict(browser.session))
    confirm(browser, address + "revoke/")
    assert Api(token).get("/me").status_code == 401
    entries = str(list(LogEntry.objects.filter(additional_data__tenant=str(demo.tenant.id)).values("changes")))
    assert "token_sha256" not in entries


def test_nobody_issues_a_credential_of_a_person_on_the_page_of_credentials(demo: Demo, console: Console) -> None:
    asked = {"principal": "finance-1", "scopes": ["workitems:read"], "days": "7"}
    assert step_up(console("admin")).post("/console/tenancy/credential/issue/", asked).status_code == 422
    browser = console("finance-1")
    assert browser.get("/console/tenancy/credential/").context["rows"] == []
    assert browser.get("/console/tenancy/credential/issue/").status_code == 403
    assert browser.post("/console/tenancy/credential/issue/", asked).status_code == 422


def test_members_are_invited_and_roles_granted(demo: Demo, console: Console) -> None:
    browser = console("admin")
    person = {"name": "nora", "kind": "human", "roles": ["viewer"], "display_name": "Nora"}
    added = browser.post("/console/tenancy/membership/new/", person)
    assert added.status_code == 200, added.content
    assert not User.objects.get(username="nora").has_usable_password()
    page = added.context["onward"]
    browser.post(page + "change-roles/", {"roles": ["auditor", "approver"]})
    assert browser.get(page).context["roles"] == ["approver", "auditor"]
    role = browser.post("/console/tenancy/role/new/", {"slug": "clerk", "scopes": ["workitems:read"]})
    assert browser.get(role["Location"]).context["scopes"] == ["workitems:read"]
    confirm(browser, page + "remove/")
    assert browser.get(page).status_code == 404
    make_principal(demo.tenant, "mallory", roles=["operator"])
    refused = console("mallory").post("/console/tenancy/membership/new/", {**person, "name": "eve"})
    assert "(scope_missing)" in refused.content.decode()
    assert not User.objects.filter(username="eve").exists()


def test_groups_and_owners_are_set_by_form(demo: Demo, console: Console) -> None:
    browser = console("admin")
    make_principal(demo.tenant, "crawler", kind="agent")
    asked = {"slug": "board", "name": "The board", "members": "finance-1, finance-2\nsecurity-1"}
    made = browser.post("/console/tenancy/peoplegroup/new/", asked)
    assert made.status_code == 302, made.content
    page = browser.get(made["Location"])
    assert [person.username for person in page.context["members"]] == ["finance-1", "finance-2", "security-1"]
    assert (
        "the group board already exists"
        in browser.post("/console/tenancy/peoplegroup/new/", asked).content.decode().lower()
    )
    change = made["Location"] + "change-members/"
    assert "finance-2" in browser.get(change).content.decode()
    refused = browser.post(change, {"name": "", "members": "finance-1 nobody"})
    assert "&#x27;nobody&#x27; does not belong to this tenant" in refused.content.decode()
    browser.post(change, {"name": "Board", "members": "finance-1"})
    assert [person.username for person in browser.get(made["Location"]).context["members"]] == ["finance-1"]
    people = {row[1][0][1]: row[0] for row in browser.get("/console/tenancy/membership/").context["rows"]}
    assert browser.get(people["finance-1"]).context["groups"] == ["board"]
    own = people["crawler"] + "change-owner/"
    assert browser.post(own, {"owner": "finance-2"}).status_code == 302
    assert browser.get(people["crawler"]).context["owner"].username == "finance-2"
    assert "finance-2" in browser.get(own).content.decode()
    assert "is not an active person" in browser.post(own, {"owner": "demo-client"}).content.decode()
    assert "Change owner" not in browser.get(people["finance-1"]).content.decode()
    assert kinds(demo)[-8:] == [
        "group.defined", "request.refused", "request.refused", "group.defined", "account.dependent",
        "account.dependent", "principal.owner_set", "request.refused",
    ]  # fmt: skip
    make_principal(demo.tenant, "mallory", roles=["operator"])
    refused = console("mallory").post(change, {"name": "", "members": "mallory"})
    assert "(scope_missing)" in refused.content.decode()
    agent = {"name": "helper", "kind": "agent", "roles": ["viewer"], "owner": "finance-1"}
    added = browser.post("/console/tenancy/membership/new/", agent)
    assert browser.get(added["Location"]).context["owner"].username == "finance-1"


def test_exports_can_be_downloaded(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("admin")
    made = browser.post(
        "/console/telemetry/telemetryexport/new/", {"created_after": "2026-01-01", "created_before": "2026-01-15"}
    )
    assert made.status_code == 302
    (url, _), *_ = browser.get("/console/telemetry/telemetryexport/").context["rows"]
    answer = browser.get(url + "download/")
    assert answer["Content-Type"] == "application/x-ndjson"
    assert b"".join(answer.streaming_content) == b""
    too_long = {"created_after": "2026-01-01", "created_before": "2026-12-15"}
    assert "(window_too_large)" in browser.post("/console/telemetry/telemetryexport/new/", too_long).content.decode()


def test_edits_through_the_api_name_who_made_them(demo: Demo, console: Console) -> None:
    answer = demo.client.post("/channels", {"channel_id": "api_made", "name": "Made"})
    assert answer.status_code == 201, answer.content
    (edit,) = console("admin").get(reverse("admin:policies_channel_change", args=["api_made"])).context["edits"]
    assert (edit.by, edit.through) == ("demo-client", "api")


def test_a_policy_is_bound_for_a_time_and_the_rules_in_effect_are_shown(demo: Demo, console: Console) -> None:
    browser = console("admin")
    browser.post("/console/policies/policy/new/", {"document": DRAFT.replace("payments", "closed")})
    sent = {"policy": "closed", "scope": "channel/web_main", "starts_at": "2026-12-24", "ends_at": ""}
    refused = browser.post("/console/policies/overlay/new/", sent)
    assert refused.status_code == 422
    assert "RFC 3339 instant" in refused.content.decode()
    sent |= {"starts_at": "2126-12-24T00:00:00+01:00"}
    page = browser.get(browser.post("/console/policies/overlay/new/", sent)["Location"]).content.decode()
    assert "not now" in page
    assert "2126-12-23 23:00:00 UTC" in page
    query = {"workflow_id": "payment_run", "channel_id": "web_main"}
    now = browser.get("/console/policies/overlay/effective/", query)
    then = browser.get("/console/policies/overlay/effective/", {**query, "at": "2127-01-01T00:00:00Z"})
    assert (now.context["asked"].missing, then.context["asked"].missing) == ((), ("closed",))
    assert [entry.rule["id"] for entry in now.context["asked"].rules] == [
        entry.rule["id"] for entry in then.context["asked"].rules
    ]
    assert "workflow payment_run" in now.content.decode()
    assert "policy_missing" in then.content.decode()
    wrong = browser.get("/console/policies/overlay/effective/", {**query, "at": "tomorrow"})
    assert "RFC 3339 instant" in wrong.content.decode()


def test_an_integration_is_tested_by_button(demo: Demo, console: Console, settings: Any) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    page = reverse("admin:integrations_integration_change", args=["int_bank"])
    browser = console("admin")
    assert browser.post(page + "test/")["Location"] == page
    waiting = browser.get(page).content.decode()
    assert 'http-equiv="refresh"' in waiting
    assert "Waiting for a worker." in waiting
    demo.wait()
    ended = browser.get(page).content.decode()
    assert 'http-equiv="refresh"' not in ended
    assert "secret env:BANK_TOKEN" in ended
    assert "connection_refused" in ended
    assert "Last test" not in console("finance-1").get(page).content.decode()
