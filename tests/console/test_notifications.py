"""Console page of notification preferences: same service as the API, no secrets shown."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import User
from workitems.models import NotificationPreference

PAGE = "/console/notifications/"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
ALL = ["assigned", "reminder", "escalated", "decided"]


def save(browser: Client, **sent: object) -> tuple[int, str, list[str]]:
    answer = browser.post(PAGE, sent)
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    shown = browser.get(PAGE).content.decode() if answer.status_code == 302 else answer.content.decode()
    return answer.status_code, shown, said


def kept(demo: Demo) -> list[tuple[str, list[str], str, list[str]]]:
    with unit_of_work(demo.tenant.id):
        rows = NotificationPreference.objects.all()
        return [(row.mail_address, row.mail_events, row.chat_service, row.chat_events) for row in rows]


def test_page_shows_the_defaults(demo: Demo, console: Console) -> None:
    User.objects.filter(username="finance-1").update(email="finance-1@example.org", time_zone="Europe/Berlin")
    page = console("finance-1").get(PAGE).content.decode()
    assert page.count("checked") == 8
    assert (
        "Empty: finance-1@example.org, the address of your account. Times are shown in the zone Europe/Berlin." in page
    )
    assert "This instance cannot send mail." in page
    assert "Remove the chat address" not in page
    assert 'href="/console/notifications/"' in page
    assert kept(demo) == []


def test_a_choice_is_kept_and_the_address_is_not_shown_again(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    chosen = {"mail_address": "me@example.org", "mail_events": ["decided"], "chat_events": ["assigned", "escalated"]}
    status, page, said = save(browser, **chosen, chat_address=SLACK)
    assert (status, said) == (302, ["Your notification preferences are saved."])
    assert kept(demo) == [("me@example.org", ["decided"], "slack", ["assigned", "escalated"])]
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in page
    assert "A slack address is stored; leave the field empty to keep it." in page
    assert page.count("checked") == 3
    _, page, _ = save(browser, **chosen)  # empty field: the address is kept
    assert kept(demo) == [("me@example.org", ["decided"], "slack", ["assigned", "escalated"])]
    save(browser, **chosen, forget_chat="on")
    assert kept(demo) == [("me@example.org", ["decided"], "", ["assigned", "escalated"])]
    with unit_of_work(demo.tenant.id):
        receipts = Receipt.objects.filter(kind="notification_preferences.changed").order_by("id")
        assert [b"TIiajkdn" in bytes(receipt.body) for receipt in receipts] == [False, False]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"mail_address": "nobody"}, "Enter a valid email address."),
        ({"mail_events": ["everything"]}, "everything is not one of the available choices."),
        ({"chat_address": "ftp://example.org"}, "/chat/address: begins with none of"),
        ({"chat_address": "json://127.0.0.1/x"}, "127.0.0.1 is loopback"),
    ],
)
def test_what_nothing_can_be_sent_to_is_refused(
    sent: dict[str, object], said: str, demo: Demo, console: Console
) -> None:
    status, page, _ = save(console("finance-1"), **sent)
    assert status == 422
    assert said in page
    assert kept(demo) == []


def test_each_person_has_own_preferences(demo: Demo, console: Console, settings: Settings) -> None:
    save(console("finance-1"), mail_events=[], chat_events=[])
    assert console("finance-2").get(PAGE).content.decode().count("checked") == 8
    assert Client().get(PAGE).status_code == 302
