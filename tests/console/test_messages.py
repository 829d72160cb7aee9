"""Unsent messages are listed with the reason and can be retried."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from telemetry.models import Receipt
from tests.console.busy import Busy, busy_tenant
from tests.console.sign_in import Console
from tests.console.test_actions import press
from tests.factories import make_principal
from tests.journeys.demo import Demo
from tests.receivers.mail_server import MailServer, mail_server
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import User
from workitems.models import NoticeMessage

__all__ = ["mail_server"]

LIST = "/console/workitems/noticemessage/"


@pytest.fixture
def busy(demo: Demo, mail_server: MailServer) -> Busy:
    """Notify finance; the server refuses one of the two messages permanently."""
    User.objects.filter(username="finance-1").update(email="finance-1@example.org")
    mail_server.refuse_at, mail_server.refusals = "RCPT", ["550 No such person"]
    return busy_tenant(demo)


def of(demo: Demo, name: str) -> NoticeMessage:
    with unit_of_work(demo.tenant.id):
        return NoticeMessage.objects.filter(recipient__username=name).latest("id")


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    texts = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        for row in rows
    ]
    return [text[:5] for text in texts if text]


def test_the_list_shows_who_was_notified_and_why_not(demo: Demo, busy: Busy, console: Console) -> None:
    page = console("admin").get(LIST).content.decode()
    assert ["assigned", "finance-1", "mail", "errorfailed", "The receiver refused the request"] in cells(page)
    assert ["assigned", "finance-2", "mail", "skipped", "The recipient has no address"] in cells(page)
    only = console("admin").get(LIST, {"status": "failed"}).content.decode()
    assert [row[1] for row in cells(only)] == ["finance-1"]


def test_a_failed_one_is_tried_again(demo: Demo, busy: Busy, console: Console, mail_server: MailServer) -> None:
    row = of(demo, "finance-1")
    page = console("admin").get(f"{LIST}{row.public_id}/").content.decode()
    assert "The mail server answers 550." in page
    assert f"/console/workitems/decisionstep/{busy.step}/" in page
    assert press(console("admin"), "workitems_noticemessage", "retry", row.public_id) == ["The message is sent again."]
    demo.wait()
    assert of(demo, "finance-1").status == "sent"
    assert [address for address, _ in mail_server.taken] == ["finance-1@example.org"]
    with unit_of_work(demo.tenant.id):
        assert Receipt.objects.filter(kind="message.retried").count() == 1
    said = press(console("admin"), "workitems_noticemessage", "retry", row.public_id)
    assert said == [
        "A message with the status sent cannot be sent again; only a failed one can. (transition_not_allowed)"
    ]


@pytest.mark.parametrize("status", ["unknown", "skipped", "due"])
def test_what_may_have_arrived_is_never_sent_twice(status: str, demo: Demo, busy: Busy, console: Console) -> None:
    row = of(demo, "finance-1")
    with unit_of_work(demo.tenant.id):
        NoticeMessage.objects.filter(id=row.id).update(status=status, due_at=clock.now() if status == "due" else None)
    page = console("admin").get(f"{LIST}{row.public_id}/").content.decode()
    assert "/retry/" not in page
    (said,) = press(console("admin"), "workitems_noticemessage", "retry", row.public_id)
    assert said.endswith("(transition_not_allowed)")


def test_messages_need_the_scope(demo: Demo, busy: Busy, console: Console) -> None:
    row = of(demo, "finance-1")
    make_principal(demo.tenant, "viola", roles=["viewer"])
    make_principal(demo.tenant, "otto", roles=["auditor"])
    page = f"{LIST}{row.public_id}/"
    assert [console("viola").get(address).status_code for address in (LIST, page)] == [403, 403]
    assert [console("otto").get(address).status_code for address in (LIST, page)] == [200, 200]
    assert "/retry/" not in console("otto").get(page).content.decode()
    (said,) = press(console("otto"), "workitems_noticemessage", "retry", row.public_id)
    assert said.endswith("(scope_missing)")
    assert Client().get(LIST).status_code == 302
    assert console("admin").get(f"{LIST}nm_01k9zq6w4ve9qtr1n5m2d3c4b5/").status_code == 404
