"""Console editor of policies, text diff of versions, and publication."""

from __future__ import annotations

import re
from typing import Any

from pytest_django import Settings

from policies.models import EmergencyPublication, PolicyVersion, Workflow
from tests.console.sign_in import Console, confirm, step_up
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from tests.policies.emergencies import run_after_the_notice
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.roles import define_role
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required

NEW_DRAFT = "/console/policies/policy/payments/new-draft/"
CHECK = "/console/policies/policy/check/?policy=payments"
RULE = {
    "rule-fact": "item.payload.amount_minor",
    "rule-comparison": ">",
    "rule-value": "500000",
    "rule-effect": "require_approval",
    "rule-reason": "HALF_A_MILLION",
    "rule-id": "half-a-million",
    "rule-role": "finance",
    "rule-count": "1",
}


def text_in(page: Any) -> str:
    return str(page.context["form"]["document"].value())


def version_page(demo: Demo, number: int) -> str:
    found = demo.api("admin").get(f"/policies/payments/versions/{number}").json()["policy_version_id"]
    return f"/console/policies/policyversion/{found}/"


def drafted(demo: Demo, console: Console) -> str:
    """Create a draft by `admin` with a changed document. Return the URL of its page."""
    browser = console("admin")
    text = text_in(browser.get(NEW_DRAFT)).replace("1000000", "500000")
    assert browser.post(NEW_DRAFT, {"document": text}).status_code == 302
    return version_page(demo, 2)


def sha256_of(browser: Any, page: str) -> str:
    return str(browser.get(f"{page}").context["row"].document_sha256)


def test_what_is_wrong_is_said_with_its_place_and_nothing_is_saved(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = text_in(browser.get(NEW_DRAFT))
    wrong = text.replace("item.payload.amount_minor >", "item.payload.amont_minor >")
    answer = browser.post(CHECK, {"document": wrong}).json()
    line = next(number for number, content in enumerate(wrong.splitlines(), start=1) if "amont" in content)
    column = wrong.splitlines()[line - 1].index("amont") + 1
    said = "payment_run: item.payload.amont_minor is unknown. Did you mean item.payload.amount_minor?"
    assert answer["marks"][0] == {"kind": "error", "line": line, "column": column, "detail": said}
    assert f'data-line="{line}" data-column="{column}"' in answer["panel"]
    assert "invalid" in answer["panel"]
    right = browser.post(CHECK, {"document": text}).json()
    assert (right["marks"], right["tests"]) == ([], {"run": 4, "failed": 0})
    assert "4 passed" in right["panel"]
    assert PolicyVersion.objects.count() == 0  # outside of a unit of work, which the API calls below open themselves
    assert len(demo.api("admin").get("/policies/payments/versions").json()["data"]) == 1


def test_its_tests_run_on_the_text(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = text_in(browser.get(NEW_DRAFT)).replace("reason: AMOUNT_OVER_LIMIT", "reason: ANOTHER", 1)
    answer = browser.post(CHECK, {"document": text}).json()
    assert answer["tests"] == {"run": 4, "failed": 1}
    said = "expects require_approval AMOUNT_OVER_LIMIT; the rules say require_approval ANOTHER"
    (mark,) = (mark for mark in answer["marks"] if said in mark["detail"])
    shadowed = re.sub("when: .*item.confidence.*", "when: 'false'", text_in(browser.get(NEW_DRAFT)))
    marks = browser.post(CHECK, {"document": shadowed}).json()["marks"]
    (warning,) = (mark for mark in marks if mark["kind"] == "warning")
    assert warning["detail"].startswith("Rule low-confidence never decides: i")
    for broken in ("kind: [", "", "a: 1\n---\nb: 2", "just text", "{" * 100):
        (mark,) = browser.post(CHECK, {"document": broken}).json()["marks"]
        assert (mark["kind"], mark["line"] >= 1, mark["column"] >= 1) == ("error", True, True)


def test_only_who_writes_policies_may_ask(demo: Demo, console: Console) -> None:
    assert console("finance-1").post(CHECK, {"document": "x"}).status_code == 403
    assert console("finance-1").get(NEW_DRAFT).status_code == 403


def test_sessions_are_proposed_for_workflows_of_a_sensitive_data_class(
    demo: Demo, console: Console, settings: Settings
) -> None:
    browser = console("admin")
    with unit_of_work(demo.tenant.id):
        spec = Workflow.objects.select_related("current_version").get(slug="payment_run").current_version.spec
    for classes, proposed in (([], "any"), ([spec["data_class"]], "session")):
        settings.THREADA_SENSITIVE_DATA_CLASSES = classes
        assert browser.get(NEW_DRAFT).context["rule"]["authentication"].value() == proposed
    text = text_in(browser.get(NEW_DRAFT))
    page = browser.post(NEW_DRAFT, {"document": text, "add_rule": "", **RULE, "rule-authentication": "session"})
    assert "authentication: session" in text_in(page)


def test_a_rule_template_is_inserted_into_the_text(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = text_in(browser.get(NEW_DRAFT))
    page = browser.post(NEW_DRAFT, {"document": text, "add_rule": "", **RULE})
    assert page.status_code == 200
    written = text_in(page)
    assert "- id: half-a-million\n    when: item.payload.amount_minor > 500000\n" in written
    assert "Rule half-a-million was inserted before the first rule." in page.content.decode()
    assert len(demo.api("admin").get("/policies/payments/versions").json()["data"]) == 1
    assert browser.post(NEW_DRAFT, {"document": written}).status_code == 302
    saved = demo.api("admin").get("/policies/payments/versions/2").json()["document"]["rules"]
    assert saved[0] == {
        "id": "half-a-million",
        "when": "item.payload.amount_minor > 500000",
        "effect": "require_approval",
        "reason": "HALF_A_MILLION",
        "approvals": {"role": "finance", "count": 1},
    }
    assert len(saved) == 5
    refused = browser.post(NEW_DRAFT, {"document": text, "add_rule": "", **RULE, "rule-role": "", "rule-value": "x"})
    assert "Choose the approvers." in refused.content.decode()
    assert text_in(refused) == text
    refused = browser.post(NEW_DRAFT, {"document": text, "add_rule": "", **RULE, "rule-value": "much"})
    assert "is a number. Write one" in refused.content.decode()


def test_a_draft_is_not_overwritten_unseen(demo: Demo, console: Console) -> None:
    page = drafted(demo, console)
    browser = console("admin")
    opened = browser.get(f"{page}edit/")
    sent = {"read_sha256": opened.context["form"]["read_sha256"].value(), "document": text_in(opened)}
    first = {**sent, "document": sent["document"].replace("500000", "400000")}
    assert browser.post(f"{page}edit/", first).status_code == 302
    second = browser.post(f"{page}edit/", {**sent, "document": sent["document"].replace("500000", "300000")})
    assert "(precondition_failed)" in second.content.decode()
    assert "400000" in str(demo.api("admin").get("/policies/payments/versions/2").json()["document"])


def test_two_versions_are_compared_line_by_line(demo: Demo, console: Console) -> None:
    drafted(demo, console)
    browser = console("admin")
    page = browser.get("/console/policies/policy/payments/compare/")
    assert (page.context["before"].number, page.context["after"].number) == (1, 2)
    changed = [row for row in page.context["rows"] if row.kind == "changed"]
    assert [[part for part, differs in row.before.parts if differs] for row in changed] == [["1000000"]]
    assert "<del>1000000</del>" in page.content.decode()
    assert "<ins>500000</ins>" in page.content.decode()
    same = browser.get("/console/policies/policy/payments/compare/?from=2&to=2")
    assert same.context["rows"] == []
    whole = browser.get("/console/policies/policy/payments/compare/?from=2&to=1&all=1")
    assert {row.kind for row in whole.context["rows"]} == {"same", "changed"}
    assert browser.get("/console/policies/policy/payments/compare/?from=99&to=%00").status_code == 200
    assert browser.get("/console/policies/policy/nothing/compare/").status_code == 404


def test_two_people_are_asked_for_in_the_console(demo: Demo, console: Console) -> None:
    browser = console("admin")
    assert "One person alone can publish policies in this tenant." in browser.get("/console/").content.decode()
    assert "Require four eyes" in browser.get("/console/policies/policy/").content.decode()
    asked = browser.post("/console/tenancy/foureyesrule/require/", follow=True)
    assert "must now be published by a second person." in asked.content.decode()
    assert "One person may put" not in browser.get("/console/policies/policy/").content.decode()
    with unit_of_work(demo.tenant.id):
        assert is_four_eyes_required(demo.tenant.id, POLICY_FOUR_EYES)
    ended = browser.post("/console/tenancy/foureyesrule/end/", follow=True)
    assert "The end is requested." in ended.content.decode()
    assert "(second_person_required)" in browser.post("/console/tenancy/foureyesrule/end/").content.decode()
    assert (
        "(permission_denied)"
        in in_other_hands(demo, console).post("/console/tenancy/foureyesrule/require/").content.decode()
    )
    demo.join("boss", roles=("tenant_admin",))
    ended = console("boss").post("/console/tenancy/foureyesrule/end/", follow=True)
    assert "Four eyes are no longer required for policies." in ended.content.decode()


def in_other_hands(demo: Demo, console: Console) -> Any:
    """Create a manager of workflows who is not a tenant administrator."""
    with unit_of_work(demo.tenant.id):
        from threada_site.kernel.context import Scope

        scopes = frozenset({Scope.WORKITEMS_READ, Scope.WORKFLOW_MANAGE})
        define_role("manager", scopes, ctx=acting_system(demo.tenant))
    demo.join("mia", roles=("manager",))
    return console("mia")


def test_a_second_person_publishes_what_was_replayed(demo: Demo, console: Console) -> None:
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(demo.tenant))
    page = drafted(demo, console)
    demo.join("pat", roles=("policy_publisher",))
    browser = console("pat")
    assert "A replay of the draft is required" in browser.get(f"{page}").content.decode()
    sent = {"document_sha256": sha256_of(browser, page)}
    refused = confirm(browser, f"{page}publish/", sent, follow=True)
    assert "(replay_report_required)" in refused.content.decode()
    assert demo.api("admin").post("/policies/payments/versions/2/replay", {}).status_code == 202
    run_jobs()
    shown = browser.get(f"{page}").content.decode()
    assert "would differ" in shown
    assert ">Propose version 2<" in shown
    proposed = confirm(browser, f"{page}publish/", sent, follow=True).content.decode()
    assert "A second person must publish this change: " in proposed
    (address,) = set(re.findall(r'href="(/console/tenancy/changeset/chg_\w+)/"', proposed))
    demo.join("pia", roles=("policy_publisher",))
    shown = console("pia").get(f"{address}/").content.decode()
    (digest,) = re.findall(r'name="digest" value="(\w{64})"', shown)
    assert "replayed, " in shown
    author = confirm(step_up(console("admin")), f"{address}/publish/", {"digest": digest}, follow=True).content.decode()
    assert "second_person_required" in author
    confirm(step_up(console("pia")), f"{address}/publish/", {"digest": digest})
    assert demo.client.get("/policies/payments").json()["version"] == 2


def test_an_emergency_is_shown_until_a_second_person_confirms_it(
    demo: Demo, console: Console, settings: Settings
) -> None:
    settings.THREADA_EMERGENCY_NOTICE_SECONDS = 0
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(demo.tenant))
    page = drafted(demo, console)
    admin = console("admin")
    sent = {"document_sha256": sha256_of(admin, page), "reason": "The bank answers twice.", "lasts": "PT4H"}
    assert (
        "Choose a time box"
        in admin.post(f"{page}publish-in-emergency/", {**sent, "lasts": "P1000D"}, follow=True).content.decode()
    )
    refused = admin.post(f"{page}publish-in-emergency/", sent, follow=True).content.decode()
    assert "(step_up_required)" in refused
    with_password = {**sent, "password": demo.secrets.passwords["admin"]}
    announced = admin.post(f"{page}publish-in-emergency/", with_password, follow=True).content.decode()
    assert "for 4 hours, or permanently once confirmed." in announced
    assert "in an emergency, by one person: The bank answers twice." in announced
    assert "admin announced this version alone" in announced
    assert "Publish version 2 alone" not in announced
    run_after_the_notice()
    demo.join("pat", roles=("policy_publisher",))
    pat = console("pat")
    for browser in (admin, pat):
        for address in ("/console/", "/console/policies/policy/", f"{page}"):
            said = browser.get(address).content.decode()
            assert "published in an emergency by one person" in said, address
            assert "The bank answers twice." in said
    assert "published in an emergency by one person" not in console("finance-1").get("/console/").content.decode()
    own = admin.post(f"{page}confirm-emergency/", follow=True).content.decode()
    assert "(second_person_required)" in own
    confirmed = pat.post(f"{page}confirm-emergency/", follow=True).content.decode()
    assert "is confirmed and stays in force." in confirmed
    assert "published in an emergency by one person" not in pat.get("/console/").content.decode()
    late = confirm(pat, f"{page}end-emergency/", follow=True).content.decode()
    assert "(transition_not_allowed)" in late
    with unit_of_work(demo.tenant.id):
        assert EmergencyPublication.objects.get().status == "confirmed"
