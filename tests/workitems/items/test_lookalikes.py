"""Marks of values that look like another value of an earlier work item."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import translation

from policies.selectors import workflow_document
from tests.console.sign_in import sign_in
from tests.workitems.office import BANK, Office
from threada_site.admin.html import page_url
from threada_site.database.unit_of_work import unit_of_work
from workitems.admin.contents import contents_of
from workitems.executions.close_item import edit_payload
from workitems.items.labels import risk_label
from workitems.items.locks import locked_item
from workitems.items.lookalikes import mark_lookalikes
from workitems.items.titles import listed_title
from workitems.models import ItemLabel, WorkItem
from workitems.retention.run import empty_contents
from workitems.steps.policy import intake_set
from workitems.steps.policy.decision import take_intake_decision
from workitems.tasks import decide_intake

HOOLI = "H\u043e\u043eli"
MARK = "resembles an earlier value"


@pytest.fixture
def payments(office: Office) -> Office:
    office.upsert_workflow(title="Pay ${item.payload.vendor}", related_by=["/vendor", "/iban"])
    return office


def pay(office: Office, vendor: Any, iban: str = "DE1", by: str = "rita", **more: Any) -> WorkItem:
    return office.decided(5, payload={"amount": 5, "vendor": vendor, "iban": iban}, by=by, **more)


def decided_again(office: Office, item: WorkItem) -> WorkItem:
    with unit_of_work(office.tenant.id):
        take_intake_decision(locked_item(item.id, ctx=office.system), ctx=office.system)
    return office.item(item)


def shown(office: Office, item: WorkItem) -> str:
    with unit_of_work(office.tenant.id):
        return contents_of(item, item.payload, ctx=office.system).whole


def test_a_value_that_resembles_an_earlier_one_is_marked_in_title_and_beside_it(payments: Office) -> None:
    first = pay(payments, "Hooli GmbH")
    same = pay(payments, "Hooli GmbH", "DE2")
    other = pay(payments, "Hooli AG")
    false = pay(payments, f"{HOOLI} GmbH", "DE3")
    assert [listed_title(item) for item in (first, same, other)] == [
        "Pay Hooli GmbH", "Pay Hooli GmbH", "Pay Hooli AG",
    ]  # fmt: skip
    assert listed_title(false) == f"[look-alike] [mixed scripts] Pay {HOOLI} GmbH"
    with translation.override("de"):
        assert listed_title(false).startswith("[Verwechslungsgefahr] [gemischte Schriften] ")
    assert [shown(payments, item).count(MARK) for item in (first, same, other, false)] == [0, 0, 0, 1]
    assert f'GmbH</span> <span class="t-tag t-risk">{MARK}</span>' in shown(payments, false)


def test_it_is_marked_in_the_request_that_is_sent_too(payments: Office) -> None:
    """On the page of a decision, of several decisions and of the execution, beside the payload."""
    pay_action = BANK["actions"]["pay"]
    body = {**pay_action["body"], "to": ["${item.payload.vendor}"]}
    payments.put_bank(actions={"pay": {**pay_action, "body": body}})
    pay(payments, "Hooli GmbH")
    steps, runs, browser = [], [], sign_in(payments.people["fay"])
    for vendor, iban in (("Initech", "DE2"), (f"{HOOLI} GmbH", "DE3")):
        item = payments.decided(500, payload={"amount": 500, "vendor": vendor, "iban": iban})
        started = payments.execute(item)
        assert started.step is not None
        steps.append(started.step)
        runs.append(page_url("integrations.execution", started.execution.public_id))
    plain, marked = (browser.get(page_url("workitems.decisionstep", step.public_id)).content.decode() for step in steps)
    for name, times in (("sent", 2), ("request", 1)):
        assert section(plain, name).count(MARK) == 0
        assert section(marked, name).count(MARK) == times, name
    assert 'GmbH</span> <span class="t-tag t-risk">resembles' in section(marked, "sent")
    assert section(marked, "sent").count("mixed scripts: Cyrillic, Latin") >= 2

    chosen = [f"{step.public_id}:{step.envelope_sha256}" for step in steps]
    several = browser.get(reverse("admin:workitems_decisionstep_batch"), {"step": chosen}).content.decode()
    assert several.count(f"[{MARK}]") == 2  # in the payload and in what will be sent

    assert [browser.get(run).content.decode().count(MARK) for run in runs] == [0, 1]


def section(page: str, name: str) -> str:
    """Return the section of a page with this id."""
    return page.partition(f'id="{name}"')[2].partition("</section>")[0]


def test_each_field_is_compared_for_itself(payments: Office) -> None:
    pay(payments, "Hooli", "DE10")
    swapped = pay(payments, "DE1O", "Hoo1i")
    assert listed_title(swapped) == "Pay DE1O"
    iban = pay(payments, "Umbrella", "DE1O")
    assert listed_title(iban) == "[look-alike] Pay Umbrella"
    assert shown(payments, iban).count(MARK) == 1


def test_the_first_of_two_is_not_marked_and_an_edit_is_compared_again(payments: Office) -> None:
    first = pay(payments, "Hooli")
    item = pay(payments, "Umbrella")
    payments.on_item(item, edit_payload, payload={"amount": 5, "vendor": "HooIi", "iban": "DE1"})
    assert listed_title(decided_again(payments, item)) == "[look-alike] Pay HooIi"
    assert listed_title(payments.item(first)) == "Pay Hooli"
    payments.on_item(item, edit_payload, payload={"amount": 5, "vendor": "Umbrella", "iban": "DE1"})
    assert listed_title(decided_again(payments, item)) == "Pay Umbrella"
    assert shown(payments, payments.item(item)).count(MARK) == 0


def test_a_requester_who_reads_only_own_cases_imitates_nobody_without_a_mark(payments: Office) -> None:
    pay(payments, "Hooli", by="ada")
    item = payments.create(5, payload={"amount": 5, "vendor": HOOLI, "iban": "DE3"})
    with unit_of_work(payments.tenant.id), connection.cursor() as cursor:
        locked = locked_item(item.id, ctx=payments.system)
        own = "SELECT set_config('app.visibility', 'own', true), set_config('app.principal', %s, true)"
        cursor.execute(own, [str(item.requester_id)])
        assert not ItemLabel.objects.exclude(work_item_id=item.id).exists()
        mark_lookalikes(locked, workflow_document(item.workflow_version_id, ctx=payments.system))
        cursor.execute("SELECT threada_lookalikes(%s, %s)", [[risk_label("new_vendor")], item.id])
        assert cursor.fetchall() == []
    assert listed_title(payments.item(item)) == f"[look-alike] [mixed scripts] Pay {HOOLI}"


def test_a_set_of_intake_decisions_marks_too(payments: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    pay(payments, "Hooli")
    names = ("Umbrella", HOOLI, "HooIi", "Stark")
    items = [payments.create(5, payload={"amount": 5, "vendor": name, "iban": "DE1"}) for name in names]
    alone: list[Any] = []
    monkeypatch.setattr(intake_set.log, "warning", lambda *_, **facts: alone.append(facts))
    decide_intake(str(payments.tenant.id), str(items[0].id), "")
    assert alone == []
    assert [listed_title(payments.item(item)).count("[look-alike]") for item in items] == [0, 1, 1, 0]


def test_removed_contents_leave_no_label(payments: Office) -> None:
    first = pay(payments, "Hooli")
    pay(payments, HOOLI)
    with unit_of_work(payments.tenant.id):
        assert ItemLabel.objects.filter(work_item=first).count() == 2
        empty_contents([first.id], by="retention", ctx=payments.system)
        assert ItemLabel.objects.filter(work_item=first).count() == 0
    assert listed_title(pay(payments, "H0oli")) == "Pay H0oli"


def test_a_case_about_a_person_has_no_labels(office: Office) -> None:
    office.upsert_workflow(title="Pay ${item.payload.vendor}", related_by=["/vendor"], subject="/vendor")
    pay(office, "Hooli")
    assert listed_title(pay(office, "HooIi")) == "Pay HooIi"
    with unit_of_work(office.tenant.id):
        assert ItemLabel.objects.count() == 0
