"""Claims, reassignment, escalation and out of office in the console. Each leaves a receipt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.busy import Busy
from tests.console.sign_in import Console, confirm, step_up
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import ChangeSet, User
from workitems.models import DecisionStep, Delegation

NEW_ABSENCE = "/console/workitems/delegation/new/"


@pytest.fixture
def busy(busy_demo: Busy) -> Busy:
    return busy_demo


def address(action: str, step_id: str) -> str:
    return reverse(f"admin:workitems_decisionstep_{action}", args=[step_id])


def sent(browser: Client, url: str, **fields: str) -> str:
    """Submit a form or a button, and confirm where it asks. Return the message of the next page."""
    answer = browser.post(url, fields)
    if answer.status_code == 200:
        answer = confirm(browser, url, fields)
    assert answer.status_code == 302, answer.content.decode()
    return str(list(get_messages(answer.wsgi_request))[-1])


def refused(browser: Client, url: str, code: str, **fields: str) -> None:
    answer = browser.post(url, fields)
    assert (answer.status_code, f"({code})" in answer.content.decode()) == (422, True)


def page(browser: Client, step_id: str) -> Any:
    return browser.get(address("change", step_id))


def offers(browser: Client, step_id: str) -> list[str]:
    """Return the actions about the assignee that the page of a step offers."""
    names = ("claim", "release", "reassign", "escalate", "change_input")
    body = page(browser, step_id).content.decode()
    return [name for name in names if f'"{address(name, step_id)}"' in body]


def names_in(browser: Client, url: str, field: str) -> list[str]:
    found = []
    for value, label in browser.get(url).context["form"].fields[field].choices:
        found += [one for one, _ in label] if isinstance(label, list) else [value]
    return [name for name in found if name]


def bodies(demo: Demo, kind: str) -> list[dict[str, Any]]:
    with unit_of_work(demo.tenant.id):
        return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind=kind).order_by("id")]


def stored(demo: Demo, step_id: str) -> DecisionStep:
    with unit_of_work(demo.tenant.id):
        return DecisionStep.objects.get(id=ids.parse_public_id(ids.DECISION_STEP, step_id))


def test_a_claim_is_shown_taken_back_and_ends_by_itself(demo: Demo, busy: Busy, console: Console) -> None:
    fay, finn = console("finance-1"), console("finance-2")
    assert offers(fay, busy.step) == ["claim", "reassign", "change_input"]
    assert sent(fay, address("claim", busy.step)) == "The step is claimed by you for half an hour."
    assert offers(fay, busy.step) == ["release", "reassign", "change_input"]
    assert offers(finn, busy.step) == ["reassign", "change_input"]
    assert "finance-1</span> has claimed it until" in page(finn, busy.step).content.decode()
    with unit_of_work(demo.tenant.id):
        DecisionStep.objects.update(claimed_until=clock.now() - timedelta(seconds=1))
    assert "has claimed it until" not in page(finn, busy.step).content.decode()
    assert offers(finn, busy.step) == ["claim", "reassign", "change_input"]
    told = demo.client.get(f"/decision-steps/{busy.step}").json()
    assert (told["claimed_by"], told["claim_expires_at"]) == (None, None)
    before = len(bodies(demo, "decision_step.released"))
    sent(finn, address("release", busy.step))
    assert len(bodies(demo, "decision_step.released")) == before
    sent(finn, address("claim", busy.step))
    assert [body["actor"]["entry_point"] for body in bodies(demo, "decision_step.claimed")] == ["console"] * 2


def test_a_step_is_reassigned_by_form(demo: Demo, busy: Busy, console: Console) -> None:
    fay, url = console("finance-1"), address("reassign", busy.step)
    assert names_in(fay, url, "to") == ["finance-2"]
    assert sent(fay, url, to="finance-2", reason="She knows Hooli.") == "The step is assigned to finance-2."
    assert "Assigned to <span" in page(fay, busy.step).content.decode()
    assert names_in(fay, url, "to") == []
    assert "finance-1 assigned the approval to finance-2" in page(fay, busy.step).content.decode()
    (receipt,) = bodies(demo, "decision_step.reassigned")
    assert receipt["inputs"]["assignee"] == User.objects.get(username="finance-2").public_id
    assert "Hooli" not in str(receipt)
    assert offers(console("security-1"), busy.step) == []
    assert offers(console("admin"), busy.step) == ["reassign", "escalate"]
    assert console("security-1").get(url).status_code == 200
    answer = console("security-1").post(url, {"to": "finance-1"})
    assert (answer.status_code, "(voter_not_eligible)" in answer.content.decode()) == (422, True)
    assert stored(demo, busy.step).assignee == User.objects.get(username="finance-2")
    assert len(bodies(demo, "decision_step.reassigned")) == 1
    assert [body["outcome"]["reason_code"] for body in bodies(demo, "request.refused")] == ["voter_not_eligible"]


def test_nobody_is_offered_who_could_not_decide(demo: Demo, busy: Busy, console: Console) -> None:
    fay, url = console("finance-1"), address("reassign", busy.step)
    answer = fay.post(url, {"to": "security-1"})
    assert (answer.status_code, "Select a valid choice" in answer.content.decode()) == (422, True)
    assert stored(demo, busy.step).assignee is None


def test_a_step_is_escalated_by_form(demo: Demo, busy: Busy, console: Console) -> None:
    fay, admin, url = console("finance-1"), console("admin"), address("escalate", busy.step)
    assert names_in(fay, url, "to") == []
    assert "The rule names nobody." in fay.get(url).content.decode()
    assert {"role/security", "group/board", "user/security-1"} <= set(names_in(admin, url, "to"))
    refused(admin, url, "nobody_to_escalate_to", to="role/auditor")
    assert "user/admin" not in names_in(admin, url, "to")
    refused(admin, url, "second_person_required", to="role/tenant_admin")
    make_principal(demo.tenant, "admin-2", roles=("tenant_admin",))
    said = sent(admin, url, to="role/security", reason="Both are away.")
    assert said.startswith("A second person must publish this change: ")
    assert stored(demo, busy.step).escalated_to == []
    with unit_of_work(demo.tenant.id):
        row = ChangeSet.objects.get(operation="decision_step.escalate")
    publication = reverse("admin:tenancy_changeset_publish", args=[row.public_id])
    assert sent(step_up(console("admin-2")), publication, digest=row.digest).startswith("Published: Escalate")
    refused(admin, url, "already_escalated", to="role/security")
    body = page(console("security-1"), busy.step).content.decode()
    assert "the role security" in body
    assert "data-key-approve" in body
    (receipt,) = bodies(demo, "decision_step.escalated")
    assert (receipt["inputs"]["escalated_to"], receipt["inputs"]["by_hand"]) == ([{"role": "security"}], True)
    assert "admin escalated the approval to the role security, confirmed by admin-2" in body
    assert demo.vote("security-1", demo.step_of(busy.item)).status_code == 201


def test_escalating_to_whom_the_rule_names(demo: Demo, console: Console) -> None:
    demo.put_rules(
        {"id": "lead", "when": "ctx.action == 'pay'", "effect": "require_approval", "reason": "LEAD"}
        | {"approvals": {"role": "finance", "escalate_to": [{"role": "security"}], "escalate_after": "P1D"}},
        {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"},
        only=True,
    )
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 5})
    demo.wait()
    demo.execute(item)
    step = demo.step_of(item)["decision_step_id"]
    fay, url = console("finance-1"), address("escalate", step)
    assert offers(fay, step) == ["claim", "reassign", "escalate", "change_input"]
    assert "named by the rule: the role security" in fay.get(url).content.decode()
    assert sent(fay, url, to="rule") == "The step is escalated. More people may decide it now."
    assert offers(fay, step) == ["claim", "reassign", "change_input"]


def test_a_person_sets_and_ends_an_out_of_office_time(demo: Demo, console: Console) -> None:
    with unit_of_work(demo.tenant.id):
        Delegation.objects.all().delete()
    fay = console("finance-1")
    assert "delegator" not in fay.get(NEW_ABSENCE).context["form"].fields
    assert names_in(fay, NEW_ABSENCE, "delegate") == ["admin", "finance-2", "security-1"]
    until = (clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    said = sent(fay, NEW_ABSENCE, delegate="security-1", ends_at=until, reason="Holidays")
    assert said == "security-1 stands in for finance-1."
    refused(fay, NEW_ABSENCE, "delegation_overlaps", delegate="finance-2", ends_at=until)
    refused(fay, NEW_ABSENCE, "invalid_request", delegate="finance-2", ends_at="2020-01-01T09:00")
    with unit_of_work(demo.tenant.id):
        (row,) = Delegation.objects.all()
    assert (row.delegator.username, row.reason) == ("finance-1", "Holidays")
    assert row.ends_at.strftime("%Y-%m-%dT%H:%M") == until
    address_of = reverse("admin:workitems_delegation_change", args=[row.public_id])
    assert "End delegation" in fay.get(address_of).content.decode()
    assert "End delegation" not in console("finance-2").get(address_of).content.decode()
    end = reverse("admin:workitems_delegation_end", args=[row.public_id])
    answer = confirm(console("finance-2"), end)
    assert "(permission_denied)" in str(next(iter(get_messages(answer.wsgi_request))))
    assert sent(console("security-1"), end) == "The delegation has ended. Decisions of the delegate remain valid."
    assert "End delegation" not in fay.get(address_of).content.decode()
    assert [body["actor"]["principal"] for body in bodies(demo, "delegation.created")] == [
        User.objects.get(username="finance-1").public_id
    ]
    assert len(bodies(demo, "delegation.ended")) == 1
    listed = fay.get(reverse("admin:workitems_delegation_changelist"), {"active": "true"})
    assert listed.context["rows"] == []


def test_who_manages_sets_others_out_of_office(demo: Demo, console: Console) -> None:
    admin = console("admin")
    until = (clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    assert "admin" not in names_in(admin, NEW_ABSENCE, "delegate")
    said = sent(admin, NEW_ABSENCE, delegator="finance-1", delegate="finance-2", ends_at=until)
    assert said == "finance-2 stands in for finance-1 once finance-1 consents or a second person confirms it."
    with unit_of_work(demo.tenant.id):
        row = Delegation.objects.get(delegator__username="finance-1")
    pages = {
        name: console(name).get(reverse("admin:workitems_delegation_change", args=[row.public_id])).content.decode()
        for name in ("finance-1", "finance-2", "admin")
    }
    assert {name: "Not in force yet" in page for name, page in pages.items()} == dict.fromkeys(pages, True)
    assert {name for name, page in pages.items() if "Consent to delegation" in page} == {"finance-1"}
    assert not any("Confirm delegation" in page for page in pages.values())
    desk = reverse("admin:workitems_decisionstep_desk")
    assert "asks for your consent" in console("finance-1").get(desk).content.decode()
    assert "asks for your consent" not in console("finance-2").get(desk).content.decode()
    button = reverse("admin:workitems_delegation_confirm", args=[row.public_id])
    answer = confirm(console("admin"), button)
    assert "(second_person_required)" in str(next(iter(get_messages(answer.wsgi_request))))
    consent = reverse("admin:workitems_delegation_consent", args=[row.public_id])
    assert sent(console("finance-1"), consent) == "You have consented. The delegation is in force."
    assert "asks for your consent" not in console("finance-1").get(desk).content.decode()
    assert len(bodies(demo, "delegation.consented")) == 1


def test_a_departed_approver_is_seen_at_once_on_the_pages(demo: Demo, busy: Busy, console: Console) -> None:
    from workitems.steps.reachability_sweep import sweep_reachability

    with unit_of_work(demo.tenant.id):
        remove_member(User.objects.get(username="finance-2"), ctx=acting_system(demo.tenant))
    sweep_reachability()
    item = console("admin").get(reverse("admin:workitems_workitem_change", args=[busy.item])).content.decode()
    assert "No member can complete the approval." in item
    assert "No member can complete this step." in page(console("admin"), busy.step).content.decode()
    listed = console("admin").get("/console/workitems/workitem/").content.decode()
    assert "nobody can decide" in listed
    only = console("admin").get("/console/workitems/workitem/?nobody_can_decide=true")
    assert [busy.item in url for url, _ in only.context["rows"]] == [True]
    metrics = {metric.label: metric for metric in console("admin").get("/console/").context["metrics"]}
    assert (metrics["nobody can decide"].value, metrics["nobody can decide"].tone) == ("1", "bad")
    assert metrics["nobody can decide"].url == "/console/workitems/workitem/?nobody_can_decide=true"
    found = demo.client.get("/work-items", {"nobody_can_decide": "true"}).json()["data"]
    assert [entry["work_item_id"] for entry in found] == [busy.item]
    assert demo.client.get("/work-items", {"nobody_can_decide": "maybe"}).status_code == 422
