"""Conversation on the pages of a work item and of a decision."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.console.sign_in import sign_in
from tests.workitems.office import Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant
from workitems.conversation.comments import add_comment, edit_comment
from workitems.conversation.models import Audience
from workitems.conversation.questions import ask_question
from workitems.models import Comment, DecisionStep, RequesterQuestion, Watch, WorkItem

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)


@pytest.fixture
def browse(office: Office) -> Any:
    """Return a function that signs a person of the office in and returns the client."""

    def signed_in(name: str) -> Client:
        return sign_in(office.people[name])

    return signed_in


def item_page(item: WorkItem) -> str:
    return reverse("admin:workitems_workitem_change", args=[item.public_id])


def step_page(step: DecisionStep) -> str:
    return reverse("admin:workitems_decisionstep_change", args=[step.public_id])


def button_of(item: WorkItem, button: str) -> str:
    return reverse(f"admin:workitems_workitem_{button.replace('-', '_')}", args=[item.public_id])


def press(client: Client, item: WorkItem, button: str, **fields: str) -> Any:
    return client.post(button_of(item, button), fields, follow=True)


def test_a_comment_is_written_edited_and_removed(office: Office, browse: Any) -> None:
    item, step, _ = office.awaiting()
    fay = browse("fay")
    back = step_page(step)
    page = press(fay, item, "comment", text="Is it **signed**? @finn", back=back)
    assert page.redirect_chain[-1][0].endswith(f"{back}#conversation")
    html = page.content.decode()
    assert "<strong>signed</strong>" in html
    assert '<span class="t-mention">@finn</span>' in html
    with unit_of_work(office.tenant.id):
        comment = Comment.objects.get()
    html = press(fay, item, "edit-comment", comment=comment.public_id, text="It is signed.").content.decode()
    assert "Version 1, shown from" in html
    html = press(fay, item, "remove-comment", comment=comment.public_id).content.decode()
    assert "The comment was removed" in html
    assert "It is signed" not in html
    assert "Is it" not in html


def test_hostile_comments_stay_text(office: Office, browse: Any) -> None:
    item, step, _ = office.awaiting()
    text = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)>"
    office.on_item(item, lambda locked, ctx: add_comment(locked, text, ctx=ctx), by="fay")
    office.on_item(item, lambda locked, ctx: ask_question(locked, text, ctx=ctx), by="fay")
    for path in (item_page(item), step_page(step)):
        html = browse("finn").get(path).content.decode()
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert 'href="javascript:' not in html
        assert "<img src=x" not in html


def test_a_question_is_asked_answered_and_the_request_changed(office: Office, browse: Any) -> None:
    item, step, _ = office.awaiting()
    html = press(browse("fay"), item, "ask", text="Which order?").content.decode()
    assert "waits for the requester" in html
    with unit_of_work(office.tenant.id):
        question = RequesterQuestion.objects.get()
    rita = browse("rita")
    page = rita.get(item_page(item)).content.decode()
    assert "Your answer" in page
    assert "Change request" in page
    press(rita, item, "change-payload", payload='{"amount": 7}', version="1")
    assert office.step(step).status == "superseded"
    html = press(rita, item, "answer", question=question.public_id, text="PO 4711").content.decode()
    assert "PO 4711" in html
    assert "answered at version 2" in html


def test_a_changed_request_is_not_overwritten(office: Office, browse: Any) -> None:
    item, _, _ = office.awaiting()
    html = press(browse("rita"), item, "change-payload", payload='{"amount": 7}', version="9").content.decode()
    assert "(conflict)" in html
    assert office.item(item).version == 1


def test_mentions_that_notify_nobody_are_named(office: Office, browse: Any) -> None:
    item = office.decided()
    html = press(browse("fay"), item, "comment", text="@nobody").content.decode()
    assert "nobody is not notified" in html


def test_comments_for_deciders_are_not_on_the_requesters_page(office: Office, browse: Any) -> None:
    item = office.decided()
    office.on_item(
        item, lambda locked, ctx: add_comment(locked, "Zebra", audience=Audience.DECIDERS, ctx=ctx), by="fay"
    )
    assert "Zebra" in browse("finn").get(item_page(item)).content.decode()
    page = browse("rita").get(item_page(item)).content.decode()
    assert "Zebra" not in page
    assert "internal_comment" not in page
    assert "deciders" not in page


def test_watching(office: Office, browse: Any) -> None:
    item = office.decided()
    press(browse("wim"), item, "watch")
    with unit_of_work(office.tenant.id):
        assert Watch.objects.get().principal_id == office.people["wim"].id
    press(browse("wim"), item, "unwatch")
    assert office.count(Watch) == 0


def test_a_get_changes_nothing(office: Office, browse: Any) -> None:
    item = office.decided()
    for button in ("comment", "ask", "answer", "watch", "change-payload", "remove-comment", "withdraw-question"):
        for method in ("get", "head"):
            answer = getattr(browse("fay"), method)(button_of(item, button))
            assert answer.status_code == 405
    assert office.count(Comment) == 0


def test_a_foreign_page_to_return_to_is_ignored(office: Office, browse: Any) -> None:
    item = office.decided()
    for back in ("https://evil.example/console/", "//evil.example", "/console/../evil", "javascript:alert(1)"):
        answer = browse("fay").post(button_of(item, "comment"), {"text": "x", "back": back})
        assert answer.headers["Location"].startswith("/console/")
        assert "evil.example" not in answer.headers["Location"]


def test_the_number_of_statements_does_not_grow(
    office: Office, browse: Any, django_assert_max_num_queries: Any
) -> None:
    item, _, _ = office.awaiting()
    for number in range(3):
        posted = office.on_item(item, lambda locked, ctx: add_comment(locked, "@finn x", ctx=ctx), by="fay")
        office.on_item(
            item, lambda locked, ctx, of=posted: edit_comment(locked, of.comment.id, "@fred y", ctx=ctx), by="fay"
        )
        del number
    finn = browse("finn")
    finn.get(item_page(item))

    def statements() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as found:
            finn.get(item_page(item))
        return len(found)

    before = statements()
    for _ in range(4):
        posted = office.on_item(item, lambda locked, ctx: add_comment(locked, "@finn x", ctx=ctx), by="fay")
        office.on_item(
            item, lambda locked, ctx, of=posted: edit_comment(locked, of.comment.id, "@fred y", ctx=ctx), by="fay"
        )
    assert statements() == before


def test_markup_is_well_formed(office: Office, browse: Any) -> None:
    item, _, _ = office.awaiting()
    office.on_item(item, lambda locked, ctx: ask_question(locked, "Why?", ctx=ctx), by="fay")
    page = browse("rita").get(item_page(item)).content.decode()
    block = page[page.index('id="conversation"') :]
    block = block[: block.index("</section>")]
    for tag in ("li", "ol", "form", "details", "div", "p"):
        assert len(re.findall(rf"<{tag}[\s>]", block)) == block.count(f"</{tag}>"), tag
