"""Stored titles: computed with the payload, encrypted and erased like it, in no receipt."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from pytest_django import Settings

from tests.workitems.office import Office
from tests.workitems.people_cases import about_people, ended_case, found_in_tables
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems import selectors
from workitems.executions.close_item import edit_payload
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.items.titles import listed_title, title_of
from workitems.retention.erasure import erase_subject


def put(office: Office, **fields: Any) -> None:
    office.upsert_workflow(**fields)


def test_an_item_gets_its_title_at_intake_and_with_each_new_payload(office: Office) -> None:
    put(office, title="Pay ${money(item.payload.amount, 'EUR')}")
    ctx = office.ctx("rita")
    office.create(1)
    request = IntakeRequest(workflow="payments", channel="web", payload={"amount": 6793661})
    with unit_of_work(office.tenant.id), CaptureQueriesContext(connection) as statements:
        item = create_work_item(request, ctx=ctx)
    assert len(statements) == 2
    assert title_of(item) == "Pay EUR 67,936.61"
    put(office, title="Transfer ${money(item.payload.amount, 'EUR')}")
    office.on_item(item, edit_payload, payload={"amount": 5})
    assert title_of(office.item(item)) == "Pay EUR 0.05"  # by the version that the item follows


def test_a_title_with_mixed_scripts_has_a_mark_in_front(office: Office) -> None:
    put(office, title="Pay ${item.payload.vendor}")
    named = {
        name: office.create(5, payload={"amount": 5, "vendor": name})
        for name in ("H\u043e\u043eli", "Hooli", "\u041c\u0438\u0440")
    }
    assert [(title_of(item), listed_title(item)) for item in named.values()] == [
        (shown, shown) for shown in ("[mixed scripts] Pay H\u043e\u043eli", "Pay Hooli", "Pay \u041c\u0438\u0440")
    ]
    with translation.override("de"):
        assert title_of(named["H\u043e\u043eli"]) == "[gemischte Schriften] Pay H\u043e\u043eli"


def test_without_a_template_the_title_is_the_workflow_with_a_short_id(office: Office) -> None:
    put(office, name="Payments")
    item = office.create(7)
    assert item.title == f"Payments {item.public_id[-6:]}"
    put(office, name="Payments", title="Pay ${item.payload.nothing}")
    item = office.create(7)
    assert item.title == f"Payments {item.public_id[-6:]}"


def test_no_receipt_contains_a_title(office: Office) -> None:
    put(office, title="Secret ${item.payload.amount} of Hooli")
    item = office.create(7)
    assert title_of(item) == "Secret 7 of Hooli"
    (body,) = office.bodies("work_item.created")
    assert "Hooli" not in str(body)


def test_the_title_of_a_case_about_a_person_is_stored_encrypted_and_erased_with_the_key(office: Office) -> None:
    about_people(office)
    office.upsert_workflow(payload_schema={"type": "object"}, subject="/person/mail", title="Call ${item.payload.note}")
    item, _, _ = ended_case(office)
    assert title_of(item) == "Call Q-PAYLOAD"
    assert ("workitems_workitem", "Q-PAYLOAD") not in found_in_tables("Q-PAYLOAD")
    with unit_of_work(office.tenant.id):
        erase_subject(item.subject_id, now=clock.now(), ctx=office.ctx("ada"))
    read = office.item(item)
    assert title_of(read) == listed_title(read) == f"Payments {item.public_id[-6:]}"


def test_lists_omit_titles_of_sensitive_data_classes(office: Office, settings: Settings) -> None:
    settings.THREADA_SENSITIVE_DATA_CLASSES = ["health"]
    put(office, title="Diagnosis ${item.payload.amount}", data_class="health")
    item = office.create(7)
    assert title_of(item) == "Diagnosis 7"
    assert listed_title(item) == f"Payments {item.public_id[-6:]}"


def test_related_items_are_those_that_the_reader_may_read(office: Office) -> None:
    put(office, related_by=["/vendor", "/amount"], title="Pay ${item.payload.vendor}")
    office.join("rolf", roles=("requester",))
    first = office.create(payload={"amount": 5, "vendor": "Hooli"})
    of_another = office.create(payload={"vendor": "Hooli", "amount": 5}, by="rolf")
    office.create(payload={"amount": 6, "vendor": "Hooli"})
    without = office.create(payload={"amount": 5})
    item = office.create(payload={"amount": 5, "vendor": "Hooli"})
    assert without.related_key == ""

    def related_for(name: str) -> list[Any]:
        ctx = office.ctx(name)
        with unit_of_work(office.tenant.id, actor=ctx):
            return [one.id for one in selectors.related_items(item, ctx=ctx, most=5)]

    assert related_for("ada") == [of_another.id, first.id]
    assert related_for("rita") == [first.id]


def test_a_case_about_a_person_has_no_related_key(office: Office) -> None:
    put(office, related_by=["/vendor"], subject="/vendor")
    assert office.create(payload={"amount": 5, "vendor": "Hooli"}).related_key == ""
