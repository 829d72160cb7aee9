"""Notification preferences: own ones only, effective immediately, shown without secrets."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import IntegrityError
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import make_token
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock
from threada_site.tenancy.models import User
from workitems.models import NoticeMessage, NotificationPreference
from workitems.notices.rules import Event
from workitems.retention.erasure import erase_principal
from workitems.retention.subject_export import export_principal

__all__ = ["mail_server"]

pytestmark = pytest.mark.django_db
PATH = "/me/notification-preferences"
EVENTS = [event.value for event in Event]
TOKEN = "3ccdd113474722377935511fc85d3dd4"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.fixture(autouse=True)
def addresses(office: Office) -> None:
    for name, person in office.people.items():
        User.objects.filter(id=person.id).update(email=f"{name}@example.org")


@pytest.fixture
def hook(receiver: Receiver, settings: Settings) -> str:
    """Return a chat address that leads to the receiver."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    return f"mmost://127.0.0.1:{receiver.port}/{TOKEN}"


def patch(office: Office, name: str, body: Any, **headers: str) -> Any:
    return office.api(name).patch(PATH, body, headers or {"If-Match": "*"})


def outcomes(office: Office, name: str) -> list[tuple[str, str, str]]:
    with unit_of_work(office.tenant.id):
        rows = NoticeMessage.objects.filter(recipient=office.people[name]).select_related("notice").order_by("id")
        return sorted((row.channel, row.notice.kind, row.reason or row.status) for row in rows)


def test_without_a_preference_everything_is_notified_by_mail(office: Office) -> None:
    answer = office.api("fay").get(PATH)
    assert answer.status_code == 200
    assert answer.json() == {
        "mail": {"address": None, "account_address": "fay@example.org", "events": EVENTS, "is_available": False},
        "chat": {"service": None, "events": EVENTS},
        "time_zone": "UTC",
        "updated_at": None,
    }
    assert answer.headers["ETag"].startswith('"preferences.0/')
    assert office.count(NotificationPreference) == 0


def test_a_choice_is_kept_and_the_chat_address_never_shown(office: Office) -> None:
    answer = patch(
        office, "fay", {"mail": {"events": ["decided", "assigned"]}, "chat": {"address": SLACK, "events": []}}
    )
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body == office.api("fay").get(PATH).json()
    assert (body["mail"]["events"], body["chat"]) == (["assigned", "decided"], {"service": "slack", "events": []})
    assert body["updated_at"] is not None
    with unit_of_work(office.tenant.id):
        row = NotificationPreference.objects.get()
        assert b"TIiajkdnlazkcOXrIdevi7FQ" not in bytes(row.chat_address or b"")
        (receipt,) = Receipt.objects.filter(kind="notification_preferences.changed")
        told = bytes(receipt.body).decode()
    assert orjson.loads(told)["inputs"] == {
        "changed": ["chat.address", "mail.events", "chat.events"],
        "mail_events": ["assigned", "decided"],
        "chat_events": [],
        "chat_service": "slack",
    }
    for shown in (told, answer.content.decode()):
        assert "TIiajkdnlazkcOXrIdevi7FQ" not in shown
    assert patch(office, "fay", {"mail": {"events": ["assigned", "decided"]}}).headers["ETag"] == '"preferences.1"'
    assert len(office.bodies("notification_preferences.changed")) == 1
    assert patch(office, "fay", {"chat": {"address": None}}).json()["chat"] == {"service": None, "events": []}
    with unit_of_work(office.tenant.id):
        assert NotificationPreference.objects.get().chat_address is None


def test_what_is_chosen_concerns_nobody_else(office: Office) -> None:
    patch(office, "fay", {"mail": {"events": []}})
    assert office.api("finn").get(PATH).json()["mail"]["events"] == EVENTS


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"mail": {"address": "nobody"}}, "/mail/address"),
        ({"mail": {"address": "a@example.org\nBcc: b@example.org"}}, "/mail/address"),
        ({"mail": {"address": "a@example.org, b@example.org"}}, "/mail/address"),
        ({"mail": {"events": ["everything"]}}, "/mail/events/0"),
        ({"mail": {"events": ["assigned", "assigned"]}}, "/mail/events"),
        ({"chat": {"address": "https://example.org/x"}}, "/chat/address"),
        ({"chat": {"address": "syslog://"}}, "/chat/address"),
        ({"chat": {"address": "mailto://a:b@example.org"}}, "/chat/address"),
        ({"chat": {"address": "mmosts://chat.example.com/"}}, "/chat/address"),
        ({"chat": {"address": "json://127.0.0.1:1/x"}}, "/chat/address"),
        ({"chat": {"address": "json://169.254.169.254/latest"}}, "/chat/address"),
        ({"chat": {"address": "jsons://example.com/x?method=DELETE"}}, "/chat/address"),
        ({"chat": {"address": "jsons://example.com/x?+Host=y"}}, "/chat/address"),
        ({"sms": {}}, "/sms"),
    ],
)
def test_what_nothing_can_be_sent_to_is_refused(body: Any, pointer: str, office: Office) -> None:
    answer = patch(office, "fay", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert office.count(NotificationPreference) == 0


def test_only_people_have_preferences(office: Office) -> None:
    office.join("robot", kind="service")
    for answer in (office.api("robot").get(PATH), patch(office, "robot", {"mail": {"events": []}})):
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "permission_denied")


def test_a_credential_that_only_reads_redirects_nothing(office: Office) -> None:
    reading = Api(make_token(office.tenant, office.people["fay"], ["workitems:read"]))
    assert reading.get(PATH).status_code == 200
    answer = reading.patch(PATH, {"mail": {"address": "thief@example.org"}}, {"If-Match": "*"})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "scope_missing")
    assert office.count(NotificationPreference) == 0


def test_a_lost_race_is_reported(office: Office) -> None:
    first = office.api("fay").get(PATH).headers["ETag"]
    assert patch(office, "fay", {"mail": {"events": []}}, **{"If-Match": first}).status_code == 200
    answer = patch(office, "fay", {"mail": {"events": EVENTS}}, **{"If-Match": first})
    assert (answer.status_code, answer.json()["reason_code"]) == (412, "precondition_failed")
    assert office.api("fay").get(PATH).json()["mail"]["events"] == []


def test_preferences_are_honoured(office: Office, mail_server: MailServer, receiver: Receiver, hook: str) -> None:
    """Fay by chat alone, Finn at another address, Fred not at all."""
    patch(office, "fay", {"mail": {"events": []}, "chat": {"address": hook}})
    patch(office, "finn", {"mail": {"address": "finn@home.example"}})
    patch(office, "fred", {"mail": {"events": ["decided"]}})
    _, step, _ = office.awaiting(9876543210)
    run_jobs()
    assert [address for address, _ in mail_server.taken] == ["finn@home.example"]
    (request,) = receiver.requests()
    text = json.loads(request["body"])["text"]
    page = f"http://localhost:8000/console/workitems/decisionstep/{step.public_id}/"
    assert text.splitlines()[0] == "[acme] Decision requested: pay for payments"
    assert urls_in(text) == [page]
    assert "9876543210" not in request["body"]
    assert request["path"] == f"/hooks/{TOKEN}"
    assert outcomes(office, "fay") == [("chat", "assigned", "sent"), ("mail", "assigned", "notice_unsubscribed")]
    assert outcomes(office, "fred") == [("mail", "assigned", "notice_unsubscribed")]
    run_jobs(ahead_of_time=True)
    assert len(receiver.requests()) == 1


def test_who_changes_their_mind_while_it_is_retried_is_left_alone(office: Office, mail_server: MailServer) -> None:
    office.awaiting()
    mail_server.refusals = ["451 Not now"] * 3
    run_jobs()
    patch(office, "fay", {"mail": {"events": []}})
    patch(office, "finn", {"mail": {"address": "finn@home.example"}})
    with unit_of_work(office.tenant.id):
        NoticeMessage.objects.filter(due_at__isnull=False).update(due_at=clock.now())
    run_jobs(ahead_of_time=True)
    assert outcomes(office, "fay") == [("mail", "assigned", "notice_unsubscribed")]
    assert sorted(address for address, _ in mail_server.taken) == ["finn@home.example", "fred@example.org"]


@pytest.mark.parametrize(
    ("behaviour", "status", "reason", "detail"),
    [
        ({"status": 404}, "failed", "rejected_by_receiver", "404"),
        ({"status": 429, "headers": {"Retry-After": "7"}}, "due", "receiver_rate_limited", "429"),
        ({"status": 503}, "due", "bad_response", "503"),
        ({"status": 500}, "unknown", "bad_response", "500"),
        ({"fault": "close"}, "unknown", "bad_response", ""),
    ],
)
def test_what_a_chat_service_answers_decides(
    office: Office, receiver: Receiver, hook: str, behaviour: Any, status: str, reason: str, detail: str
) -> None:
    patch(office, "fay", {"chat": {"address": hook}})
    receiver.behave(**behaviour)
    office.awaiting()
    run_jobs()
    with unit_of_work(office.tenant.id):
        row = NoticeMessage.objects.get(channel="chat")
    assert (row.status, row.reason) == (status, reason)
    assert detail in row.detail
    assert TOKEN not in row.detail
    assert (row.due_at is not None) == (status == "due")
    if status == "due":
        receiver.behave(status=200)
        with unit_of_work(office.tenant.id):
            NoticeMessage.objects.filter(id=row.id).update(due_at=clock.now())
    run_jobs(ahead_of_time=True)
    assert len(receiver.requests()) == (2 if status == "due" else 1)
    assert outcomes(office, "fay")[0] == ("chat", "assigned", "sent" if status == "due" else reason)


def test_a_receiver_that_is_away_is_waited_for(office: Office, receiver: Receiver, hook: str) -> None:
    patch(office, "fay", {"chat": {"address": hook}})
    receiver.stop()
    office.awaiting()
    run_jobs()
    assert outcomes(office, "fay")[0] == ("chat", "assigned", "connection_refused")
    with unit_of_work(office.tenant.id):
        assert NoticeMessage.objects.get(channel="chat").status == "due"


def test_an_address_that_may_not_be_called_any_more_is_not(
    office: Office, receiver: Receiver, hook: str, settings: Settings
) -> None:
    patch(office, "fay", {"chat": {"address": hook}})
    settings.THREADA_EGRESS_ALLOW = []
    settings.THREADA_PLAIN_SECRET_ORIGINS = [receiver.url]
    office.awaiting()
    run_jobs()
    assert outcomes(office, "fay")[0] == ("chat", "assigned", "blocked_address")
    assert receiver.requests() == []


def test_under_another_key_the_address_cannot_be_read(
    office: Office, receiver: Receiver, hook: str, settings: Settings
) -> None:
    patch(office, "fay", {"chat": {"address": hook}})
    settings.THREADA_SECRETS_KEY = "another"
    office.awaiting()
    run_jobs()
    assert outcomes(office, "fay")[0] == ("chat", "assigned", "credential_unavailable")
    assert receiver.requests() == []


def test_an_address_moved_to_another_row_cannot_be_read(office: Office, receiver: Receiver, hook: str) -> None:
    patch(office, "fay", {"chat": {"address": hook}})
    patch(office, "finn", {"chat": {"address": hook.replace(TOKEN, TOKEN[::-1])}})
    with unit_of_work(office.tenant.id):
        (fay,) = NotificationPreference.objects.filter(membership__user__username="fay")
        NotificationPreference.objects.exclude(id=fay.id).update(chat_address=fay.chat_address)
    office.awaiting()
    run_jobs()
    assert outcomes(office, "finn")[0] == ("chat", "assigned", "credential_unavailable")
    assert len(receiver.requests()) == 1


def test_preferences_are_deleted_with_the_membership(office: Office) -> None:
    patch(office, "fay", {"mail": {"address": "fay@home.example"}})
    with unit_of_work(office.tenant.id):
        remove_member(office.people["fay"], ctx=office.system)
    assert office.count(NotificationPreference) == 0


def test_the_database_wants_service_and_address_together(office: Office) -> None:
    patch(office, "fay", {"mail": {"events": []}})
    with unit_of_work(office.tenant.id), pytest.raises(IntegrityError, match="chat_is_whole"):
        NotificationPreference.objects.update(chat_service="slack")


def test_an_address_is_reencrypted_with_the_other_secrets(
    office: Office, receiver: Receiver, hook: str, settings: Settings
) -> None:
    old, new = "o" * 48, "n" * 48
    settings.THREADA_SECRETS_KEY = old
    patch(office, "fay", {"chat": {"address": hook}})
    settings.THREADA_SECRETS_KEY = f"{new} {old}"
    call_command("rotate_secrets", stdout=io.StringIO())
    settings.THREADA_SECRETS_KEY = new
    office.awaiting()
    run_jobs()
    assert outcomes(office, "fay")[0] == ("chat", "assigned", "sent")
    assert len(receiver.requests()) == 1
    settings.THREADA_SECRETS_KEY = "w" * 48
    with pytest.raises(SystemExit):
        call_command("rotate_secrets", stderr=io.StringIO())


def test_a_person_gets_them_with_what_is_kept_and_is_forgotten_with_them(office: Office, hook: str) -> None:
    patch(office, "fay", {"mail": {"address": "fay@home.example"}, "chat": {"address": hook}})
    _, step, _ = office.awaiting()
    run_jobs()
    fay = office.people["fay"]
    with unit_of_work(office.tenant.id):
        lines = [orjson.loads(line) for line in export_principal(fay, ctx=office.ctx("ada"))]
        (chosen,) = [line for line in lines if line.get("table") == "notificationpreference"]
        told = [line for line in lines if line.get("table") == "noticemessage"]
    assert (chosen["mail_address"], chosen["chat_service"]) == ("fay@home.example", "mattermost")
    assert {(line["decision_step_id"], line["event"], line["channel"]) for line in told} == {
        (step.public_id, "assigned", "chat"),
        (step.public_id, "assigned", "mail"),
    }
    with unit_of_work(office.tenant.id):
        erase_principal(User.objects.get(id=fay.id), ctx=office.ctx("ada"))
    assert office.count(NotificationPreference) == 0
