"""Search of work items by `GET /work-items?q=`: what is found, by whom, and what is not stored."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from policies.models import Workflow
from tests.factories import make_tenant
from tests.workitems.office import Office, open_office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import User
from workitems.conversation.comments import add_comment, remove_comment
from workitems.conversation.models import Audience
from workitems.executions.close_item import edit_payload
from workitems.models import Participant, SearchChange, SearchDocument, WorkItem
from workitems.retention.erasure import erase_principal, erase_subject
from workitems.retention.run import empty_contents
from workitems.search import sweep
from workitems.search.documents import _sources, register_texts
from workitems.search.find import search_items
from workitems.search.sweep import index_changes, index_everything, index_missing
from workitems.search.words import tenant_key, word_lexeme

pytestmark = pytest.mark.django_db


def index() -> int:
    return index_changes(now=clock.now())


def found(office: Office, text: str, by: str = "wim", **filters: str) -> list[str]:
    answer = office.api(by).get("/work-items", {"q": text, **filters})
    assert answer.status_code == 200, answer.json()
    return [item["work_item_id"] for item in answer.json()["data"]]


def stored(item: WorkItem) -> str:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute("SELECT words::text FROM workitems_searchdocument WHERE id = %s", [item.id])
        row = cursor.fetchone()
    return row[0] if row else ""


@pytest.fixture
def paid(office: Office) -> WorkItem:
    """Return rita's payment to Acme, which can be searched for, beside another one."""
    item = office.create(payload={"amount": 4711, "vendor": "Ácme Corp"}, external_ref="INV-2026-0008")
    office.join("bob")
    office.create(by="bob", payload={"amount": 9, "vendor": "Corp of Others"}, external_ref="INV-2026-0009")
    assert index() == 2
    return item


@pytest.mark.parametrize(
    "text",
    [
        "acme",
        "ACM",
        "4711",
        "INV-2026-0008",
        "inv-2026-0008 acme",
        "2026 0008",
        '"acme corp"',
        "corp -others",
        "rita",
        "Rita acme",
        "acme -bob",
        "payments acme",
    ],
)
def test_an_item_is_found_by_payload_reference_and_people(office: Office, paid: WorkItem, text: str) -> None:
    assert found(office, text) == [paid.public_id]


@pytest.mark.parametrize("text", ["corp acme -4711", '"corp acme"', "acmes", "nobody", "0008-2026", "!!!", "amount"])
def test_an_item_is_not_found_by_other_words(office: Office, paid: WorkItem, text: str) -> None:
    assert found(office, text) == []


def test_the_newest_are_first_and_ids_and_their_beginnings_are_found(office: Office, paid: WorkItem) -> None:
    assert len(found(office, "inv")) == 2
    assert found(office, "inv")[1] == paid.public_id
    assert found(office, paid.public_id) == [paid.public_id]
    assert paid.public_id in found(office, paid.public_id[:13])
    assert found(office, f"{paid.public_id} others") == []
    assert found(office, ids.public_id(ids.WORK_ITEM, ids.new_uuid())) == []


def test_other_filters_and_cursors_apply(office: Office, paid: WorkItem) -> None:
    for number in range(5):
        office.create(payload={"amount": number, "vendor": "Acme"})
    index()
    assert len(found(office, "acme", workflow_id="payments", status="new")) == 6
    assert found(office, "acme", workflow_id="refunds") == found(office, "acme", status="resolved") == []
    api, pages, cursor = office.api("wim"), [], None
    while cursor is not None or not pages:
        page = api.get("/work-items", {"q": "acme", "limit": "4", **({"cursor": cursor} if cursor else {})}).json()
        pages.append([item["work_item_id"] for item in page["data"]])
        cursor = page["next_cursor"]
    assert [len(page) for page in pages] == [4, 2]
    assert [*pages[0], *pages[1]] == found(office, "acme")
    first = api.get("/work-items", {"q": "acme", "limit": "4"}).json()["next_cursor"]
    other = api.get("/work-items", {"q": "corp", "cursor": first})
    assert (other.status_code, other.json()["reason_code"]) == (400, "invalid_cursor")


def test_more_than_one_search_fills_a_page_and_pages_continue(office: Office, monkeypatch: Any) -> None:
    """The function returns 200 ids; other filters may leave few of them."""
    created = [office.create() for _ in range(6)]
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=created[0].id).update(channel="")
        template = WorkItem.objects.get(id=created[1].id)
        for _ in range(250):
            template.pk = ids.new_uuid()
            template._state.adding = True
            template.save(force_insert=True)
    assert index() == 256
    with unit_of_work(office.tenant.id):
        old = WorkItem.objects.order_by("id")[0]
        WorkItem.objects.filter(id=old.id).update(status="ready")
    assert found(office, "payments", status="ready") == [old.public_id]
    assert len(found(office, "payments", limit="200")) == 200


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000, "a\x00b", "-a", " ".join(["word"] * 1_000), '"' + "w " * 50 + '"'],
    ids=["long", "nul", "excludes", "many", "phrase"],
)
def test_hostile_texts_are_refused(office: Office, paid: WorkItem, text: str) -> None:
    answer = office.api("wim").get("/work-items", {"q": text})
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
    assert "?q" in str(answer.json()["errors"]) or "q" in str(answer.json()["errors"])


@pytest.mark.parametrize("text", ["' | 'x", "a:* & !b", "\\", "<->", "%", "_", "' OR true --", "$$", "🙂"])
def test_operators_are_no_operators(office: Office, paid: WorkItem, text: str) -> None:
    assert found(office, text) == []


class TestVisibility:
    def test_a_requester_finds_own_items_only(self, office: Office, paid: WorkItem) -> None:
        assert found(office, "corp", by="rita") == [paid.public_id]
        assert found(office, "inv", by="rita") == [paid.public_id]
        assert found(office, "others", by="rita") == found(office, "bob", by="rita") == []
        office.join("ron")
        assert found(office, "corp", by="ron") == found(office, paid.public_id, by="ron") == []

    def test_an_item_that_names_a_person_is_found_by_it(self, office: Office, paid: WorkItem) -> None:
        ron = office.join("ron")
        with unit_of_work(office.tenant.id):
            Participant.objects.create(tenant=office.tenant, work_item=paid, principal=ron)
        assert found(office, "acme", by="ron") == [paid.public_id]
        assert found(office, "others", by="ron") == []

    def test_granted_workflows_are_found_beyond_the_newest_of_others(self, office: Office, paid: WorkItem) -> None:
        office.upsert_workflow("refunds")
        refund = office.create(workflow="refunds", payload={"amount": 1, "vendor": "Corp"})
        index()
        office.join("gil", roles=())
        with unit_of_work(office.tenant.id):
            workflow = Workflow.objects.get(slug="refunds")
            grant_scope_on(office.people["gil"], Scope.WORKITEMS_READ, workflow, ctx=office.system)
        assert found(office, "corp", by="gil") == [refund.public_id]
        assert found(office, "acme", by="gil") == []

    def test_another_tenant_finds_nothing(self, office: Office, paid: WorkItem) -> None:
        other = open_office(make_tenant("other"))
        assert found(other, "acme") == found(other, paid.public_id) == []
        own = other.create(payload={"amount": 1, "vendor": "Acme"})
        index()
        assert found(other, "acme") == [own.public_id]
        assert found(office, "acme") == [paid.public_id]

    @pytest.mark.parametrize(
        ("named", "visibility", "principal"),
        [("", "tenant", ""), ("own", "", ""), ("own", "own", ""), ("own", "everything", ""), ("other", "tenant", "")],
    )
    def test_without_a_context_the_function_finds_nothing(
        self, office: Office, paid: WorkItem, named: str, visibility: str, principal: str
    ) -> None:
        other = make_tenant("other")
        tenant = {"own": str(office.tenant.id), "other": str(other.id)}.get(named, "")
        with unit_of_work(office.tenant.id), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('app.tenant', %s, true), set_config('app.visibility', %s, true), "
                "set_config('app.principal', %s, true)",
                [tenant, visibility, principal],
            )
            cursor.execute("SELECT threada_search(NULL, %s, %s)", [uuid.UUID(int=0), ids.LAST])
            assert cursor.fetchall() == []

    def test_a_requester_reads_no_words_of_others(self, office: Office, paid: WorkItem) -> None:
        ctx = office.ctx("rita")
        with unit_of_work(office.tenant.id, actor=ctx):
            assert set(SearchDocument.objects.values_list("id", flat=True)) == {paid.id}

    def test_a_person_without_any_grant_is_refused(self, office: Office, paid: WorkItem) -> None:
        with unit_of_work(office.tenant.id):
            define_role("auditor", frozenset({Scope.TELEMETRY_READ}), ctx=office.system)
        office.join("nia", roles=("auditor",))
        assert office.api("nia").get("/work-items", {"q": "acme"}).status_code == 403


class TestUpkeep:
    def test_creating_an_item_writes_nothing_for_the_search(self, office: Office) -> None:
        office.create()
        with unit_of_work(office.tenant.id):
            assert SearchChange.objects.count() == SearchDocument.objects.count() == 0

    def test_an_edit_is_found_after_the_next_sweep(self, office: Office, paid: WorkItem) -> None:
        office.on_item(paid, edit_payload, payload={"amount": 1, "vendor": "Beta"})
        assert index() == 1
        assert found(office, "beta") == [paid.public_id]
        assert found(office, "acme") == []
        assert index() == 0

    def test_an_older_item_that_was_committed_later_is_found(self, office: Office, paid: WorkItem) -> None:
        with platform_role():
            SearchDocument.objects.filter(id=paid.id).delete()
        assert index() == 1
        assert found(office, "acme") == [paid.public_id]

    def test_what_the_sweep_missed_is_completed(self, office: Office, paid: WorkItem) -> None:
        with platform_role():
            SearchDocument.objects.filter(id=paid.id).delete()
        assert index_missing(now=clock.now()) == 1
        assert found(office, "acme") == [paid.public_id]
        assert index_everything() == 2

    def test_the_sweep_stops_after_a_batch_when_asked_to(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweep, "BATCH", 2)
        for _ in range(3):
            office.create()
        assert index_changes(now=clock.now(), is_asked_to_stop=lambda: True) == 2
        assert index() == 1

    def test_further_texts_are_found(self, office: Office, paid: WorkItem) -> None:
        register_texts(lambda item_ids: {item_id: ["urgent delivery"] for item_id in item_ids if item_id == paid.id})
        try:
            index_everything()
        finally:
            _sources.pop()
        assert found(office, "delivery") == [paid.public_id]

    def test_a_renamed_person_is_found_by_the_new_name_at_once(self, office: Office, paid: WorkItem) -> None:
        User.objects.filter(id=office.people["rita"].id).update(display_name="Zoë Quist")
        assert found(office, "quist acme") == found(office, "zoë") == [paid.public_id]
        assert "quist" not in stored(paid)

    def test_removed_contents_are_forgotten_at_once_and_stay_so(self, office: Office, paid: WorkItem) -> None:
        assert "acme" in stored(paid)
        with unit_of_work(office.tenant.id):
            empty_contents([paid.id], by="retention", ctx=office.system)
            WorkItem.objects.filter(id=paid.id).update(external_ref="")
        assert stored(paid) == ""
        index()
        assert found(office, "acme") == found(office, "inv-2026-0008") == []
        assert found(office, "rita") == [paid.public_id]

    def test_comments_for_everyone_are_found_and_those_for_deciders_are_not(
        self, office: Office, paid: WorkItem
    ) -> None:
        said = office.on_item(paid, add_comment, by="ada", text="Please expedite")
        office.on_item(paid, add_comment, by="ada", text="Looks fraudulent", audience=Audience.DECIDERS)
        index()
        assert found(office, "expedite", by="rita") == found(office, "expedite") == [paid.public_id]
        assert found(office, "fraudulent", by="rita") == found(office, "fraudulent") == []
        office.on_item(paid, remove_comment, by="ada", comment_id=said.comment.id)
        index()
        assert found(office, "expedite") == []
        assert "expedite" not in stored(paid)

    def test_a_case_is_found_by_those_who_voted_where_their_votes_can_be_read(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        index()
        assert found(office, "fay") == []
        office.vote(step, "fay")
        index()
        assert found(office, "fay") == found(office, "fay", by="rita") == [item.public_id]
        votes = office.api("rita").get(f"/decision-steps/{step.public_id}").json()["votes"]
        assert [vote["voted_by"] for vote in votes] == [ids.public_id(ids.PRINCIPAL, office.people["fay"].id)]
        office.join("bob")
        assert found(office, "fay", by="bob") == []

    def test_comments_of_an_erased_person_are_forgotten_at_once(self, office: Office, paid: WorkItem) -> None:
        office.on_item(paid, add_comment, by="vera", text="Please expedite")
        index()
        assert "expedite" in stored(paid)
        with unit_of_work(office.tenant.id):
            erase_principal(office.people["vera"], ctx=office.ctx("ada"))
        assert stored(paid) == ""
        index()
        assert found(office, "expedite") == []
        assert found(office, "acme") == [paid.public_id]

    def test_contents_about_a_data_subject_are_not_stored(self, office: Office) -> None:
        office.upsert_workflow("people", payload_schema={"type": "object"}, subject="/person")
        item = office.create(workflow="people", payload={"person": "p-77", "note": "secret"}, external_ref="REF-77")
        index()
        words = stored(item)
        key = tenant_key(office.tenant.id)
        assert [word for word in ("secret", "77", "ref") if f"'{word_lexeme(key, word)}'" in words] == []
        assert found(office, "secret") == found(office, "ref-77") == []
        assert found(office, "rita") == [item.public_id]
        with unit_of_work(office.tenant.id):
            WorkItem.objects.filter(id=item.id).update(status="cancelled")
            subject = WorkItem.objects.get(id=item.id).subject_id
            erase_subject(subject, now=clock.now(), ctx=office.ctx("ada"))
        assert stored(item) == ""
        index()
        assert found(office, "rita") == [item.public_id]

    def test_contents_of_sensitive_data_classes_are_not_stored(self, office: Office, settings: Settings) -> None:
        settings.THREADA_SENSITIVE_DATA_CLASSES = ["health"]
        office.upsert_workflow("cases", data_class="health")
        item = office.create(workflow="cases", payload={"amount": 1, "vendor": "Clinic"}, external_ref="H-1")
        index()
        assert found(office, "clinic") == found(office, "h-1") == []
        assert found(office, "rita") == [item.public_id]


def test_a_search_takes_two_statements_besides_the_list(
    office: Office, paid: WorkItem, django_assert_num_queries: Any
) -> None:
    ctx = office.ctx("wim")
    with unit_of_work(office.tenant.id, actor=ctx):
        with django_assert_num_queries(2):
            assert search_items("acme", ctx=ctx) == [paid.id]
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)


def test_a_slow_search_is_refused(office: Office, paid: WorkItem, monkeypatch: Any) -> None:
    monkeypatch.setattr("workitems.search.find._TIME_LIMIT", "1ms")
    monkeypatch.setattr("workitems.search.find._FIND", "SELECT pg_sleep(1), %s, %s, %s, %s")
    answer = office.api("wim").get("/work-items", {"q": "acme"})
    assert (answer.status_code, answer.json()["reason_code"]) == (503, "search_too_slow")
