"""Messages about conversations: who gets one, what it contains, and that opening it changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.jobs import run_jobs
from tests.workitems.conversation.test_comments import messages, say
from tests.workitems.conversation.test_questions import ask
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import withdraw_role
from workitems.conversation.comments import remove_comment
from workitems.conversation.watching import watch_item
from workitems.models import NoticeMessage, RequesterQuestion, Vote, Watch
from workitems.notices.conversation import actor_of
from workitems.notices.rendering import letter_of, mail_of

pytestmark = pytest.mark.django_db


def watch(office: Office, item: Any, name: str) -> None:
    office.on_item(item, watch_item, by=name)


def test_watchers_and_participants_are_notified(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "finn")
    watch(office, item, "wim")
    say(office, item, by="fay")
    assert messages(office, "commented").keys() == {"rita", "finn", "wim"}


def test_watchers_are_notified_of_decisions(office: Office) -> None:
    item, step, _ = office.awaiting()
    watch(office, item, "wim")
    office.vote(step, "fay", "reject")
    assert "wim" in messages(office, "decided")


def test_a_watch_ends_when_the_person_may_not_read_the_item(office: Office) -> None:
    item = office.decided()
    watch(office, item, "wim")
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people["wim"], "viewer", ctx=office.system)
    say(office, item)
    assert messages(office, "commented").keys() == {"rita"}
    assert office.count(Watch) == 0


def test_agents_do_not_watch(office: Office) -> None:
    office.join("robot", kind="agent", roles=("operator",))
    item = office.decided()
    answer = office.api("robot").put(f"/work-items/{item.public_id}/watch", {})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "person_required")


def test_messages_about_removed_comments_are_not_sent(office: Office) -> None:
    item = office.decided()
    comment = say(office, item).comment
    office.on_item(item, lambda locked, ctx: remove_comment(locked, comment.id, ctx=ctx), by="fay")
    sent = messages(office, "commented")
    assert sent == {"rita": ["skipped"]}


def test_messages_contain_no_text_and_their_links_change_nothing(office: Office) -> None:
    hostile = '<script>alert(1)</script> "secret"'
    item, _, _ = office.awaiting()
    office.people["fay"].display_name = "<b>Fay</b>"
    office.people["fay"].save()
    say(office, item, f"{hostile} @finn")
    ask(office, item, hostile)
    run_jobs()
    with unit_of_work(office.tenant.id):
        found = list(
            NoticeMessage.objects.filter(notice__step=None).select_related(
                "notice__work_item", "notice__step", "recipient"
            )
        )
        letters = [letter_of(row, tenant="acme", zone="UTC", actor=actor_of(row.notice)) for row in found]
        mails = [mail_of(row, letter, address="x@example.org") for row, letter in zip(found, letters, strict=True)]
    assert {row.notice.kind for row in found} == {"commented", "mentioned", "question"}
    rita = Client()
    rita.force_login(office.people["rita"])
    for letter, mail in zip(letters, mails, strict=True):
        whole = f"{letter.subject}{letter.text}{letter.html}{letter.brief}"
        assert "secret" not in whole
        assert "alert" not in whole
        assert "<b>Fay" not in letter.html
        assert mail.extra_headers["References"]
        for address in re.findall(r"https?://[^\s\"<>]+", letter.text + letter.html):
            path = "/" + address.split("/", 3)[3].partition("#")[0]
            for method in ("head", "get"):
                assert getattr(rita, method)(path, follow=True).status_code == 200
    with unit_of_work(office.tenant.id):
        assert RequesterQuestion.objects.get().status == "open"
        assert Vote.objects.count() == 0
    pages = {"rita": "admin:own_request", "finn": "admin:workitems_workitem_change"}
    for row, letter in zip(found, letters, strict=True):
        assert f"{reverse(pages[row.recipient.username], args=[item.public_id])}#conversation" in letter.text
