"""A message goes out once: after refusals, with another worker running, and when a worker dies at any moment."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection
from pytest_django import Settings

from tests.factories import acting_system
from tests.jobs import lose_all_jobs, queued_jobs, run_jobs
from tests.journeys.worker import database_url, running_worker, start_worker
from tests.receivers.mail_server import MailServer, mail_server
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import User
from workitems.models import Notice, NoticeMessage
from workitems.notices.messages import mark_handed_over, settle_failed, settle_sent, take_message
from workitems.notices.rules import LEASE, SendFailure
from workitems.notices.sending import send_message
from workitems.notices.sweep import enqueue_due_notices
from workitems.tasks import address

__all__ = ["mail_server"]

pytestmark = pytest.mark.django_db(transaction=True)

RNG = random.Random(1)


@pytest.fixture
def fay(office: Office) -> Office:
    """Only Fay has an address."""
    User.objects.filter(username="fay").update(email="fay@example.org")
    return office


def addressed(office: Office) -> NoticeMessage:
    """Fay's message, made and not sent."""
    office.awaiting()
    name, arguments = queued_jobs(telling=True)[-1]
    assert name == "workitems.address_notice"
    address(**arguments)
    lose_all_jobs("workitems.%")
    return message(office)


def message(office: Office) -> NoticeMessage:
    with unit_of_work(office.tenant.id):
        return NoticeMessage.objects.get(recipient=office.people["fay"])


def put(office: Office, **columns: Any) -> None:
    with unit_of_work(office.tenant.id):
        NoticeMessage.objects.filter(recipient=office.people["fay"]).update(**columns)


def later(office: Office) -> None:
    put(office, due_at=clock.now() - timedelta(seconds=30))


def state(office: Office) -> tuple[str, str, int]:
    row = message(office)
    return row.status, row.reason, row.attempts


def send(office: Office) -> None:
    send_message(message(office).id, ctx=office.system, rng=RNG)


@pytest.mark.parametrize("refuse_at", ["RCPT", "DATA"])
def test_a_refusal_for_now_is_tried_again(fay: Office, mail_server: MailServer, refuse_at: str) -> None:
    addressed(fay)
    mail_server.refuse_at, mail_server.refusals = refuse_at, ["451 Not now", "421 Going down"]
    before = clock.now()
    send(fay)
    assert state(fay) == ("due", "rejected_by_receiver", 1)
    row = message(fay)
    assert row.detail == "The mail server answers 451."
    assert row.due_at is not None
    assert 7.5 <= (row.due_at - before).total_seconds() <= 20
    assert row.handed_over_at is None
    assert queued_jobs(telling=True)[-1][1]["message_id"] == str(row.id)
    send(fay)  # not due yet
    assert state(fay) == ("due", "rejected_by_receiver", 1)
    later(fay)
    send(fay)
    assert state(fay) == ("due", "rejected_by_receiver", 2)
    later(fay)
    send(fay)
    assert state(fay) == ("sent", "", 3)
    send(fay)
    assert len(mail_server.taken) == 1


@pytest.mark.parametrize("refuse_at", ["RCPT", "DATA"])
def test_a_refusal_for_good_ends_it(fay: Office, mail_server: MailServer, refuse_at: str) -> None:
    addressed(fay)
    mail_server.refuse_at, mail_server.refusals = refuse_at, ["550 No such person here"]
    send(fay)
    row = message(fay)
    assert (*state(fay), row.detail) == ("failed", "rejected_by_receiver", 1, "The mail server answers 550.")
    assert row.settled_at is not None
    later_jobs = [arguments for name, arguments in queued_jobs(telling=True) if name == "workitems.send_message"]
    assert later_jobs == []
    assert mail_server.taken == []


def test_a_server_that_is_away_is_waited_for(fay: Office, mail_server: MailServer) -> None:
    addressed(fay)
    mail_server.stop()
    send(fay)
    assert state(fay) == ("due", "connection_refused", 1)
    assert "ConnectionRefusedError" in message(fay).detail
    mail_server.start()
    later(fay)
    send(fay)
    assert state(fay) == ("sent", "", 2)


def test_attempts_are_limited(fay: Office, mail_server: MailServer, settings: Settings) -> None:
    settings.THREADA_NOTICE_TRIES = 3
    addressed(fay)
    mail_server.refusals = ["451 Not now"] * 10
    for _ in range(5):
        send(fay)
        if message(fay).due_at is not None:
            later(fay)
    assert state(fay) == ("failed", "rejected_by_receiver", 3)
    assert mail_server.offered == 3


def test_an_end_without_an_answer_is_not_tried_again(fay: Office, mail_server: MailServer) -> None:
    """The server has taken it and dies before it can say so: sending again would tell people twice."""
    addressed(fay)
    mail_server.hang_up = True
    send(fay)
    assert state(fay) == ("unknown", "message_unconfirmed", 1)
    assert enqueue_due_notices(now=clock.now() + timedelta(days=1)) == 0
    send(fay)
    assert len(mail_server.taken) == 1


def test_two_workers_at_once_send_it_once(fay: Office, mail_server: MailServer) -> None:
    for amount in range(500, 506):
        fay.awaiting(amount)
    run_to_messages()
    with unit_of_work(fay.tenant.id):
        found = list(NoticeMessage.objects.filter(status="due").values_list("id", flat=True))
    assert len(found) == 6
    barrier = threading.Barrier(4)

    def worker() -> None:
        barrier.wait(20)
        try:
            for message_id in found:
                send_message(message_id, ctx=fay.system, rng=random.Random(2))
        finally:
            connection.close()

    mail_server.hang_s = 0.05
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(worker) for _ in range(4)]:
            future.result(120)
    assert len(mail_server.taken) == mail_server.offered == 6
    assert len({mail["Message-ID"] for _, mail in mail_server.taken}) == 6
    with unit_of_work(fay.tenant.id):
        assert set(NoticeMessage.objects.filter(id__in=found).values_list("status", "attempts")) == {("sent", 1)}


def run_to_messages() -> None:
    for name, arguments in queued_jobs(telling=True):
        if name == "workitems.address_notice":
            address(**arguments)


def test_two_workers_address_a_notice_once(fay: Office, mail_server: MailServer) -> None:
    fay.awaiting()
    arguments = queued_jobs(telling=True)[-1][1]
    barrier = threading.Barrier(4)

    def worker() -> None:
        barrier.wait(20)
        try:
            address(**arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(worker) for _ in range(4)]:
            future.result(60)
    assert fay.count(NoticeMessage) == 3
    run_jobs()
    assert len(mail_server.taken) == 1


def test_no_transaction_is_open_while_it_is_sent(fay: Office, mail_server: MailServer) -> None:
    addressed(fay)
    seen: list[int] = []

    def look() -> None:
        with psycopg.connect(database_url(), autocommit=True) as own:
            row = own.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND (state LIKE 'idle in transaction%' OR xact_start IS NOT NULL) "
                "AND backend_type = 'client backend'"
            ).fetchone()
            assert row is not None
            seen.append(row[0])

    mail_server.during = look
    send(fay)
    assert state(fay)[0] == "sent"
    assert seen == [0]


def test_a_worker_that_dies_before_it_hands_over_loses_nothing(fay: Office, mail_server: MailServer) -> None:
    """Another takes over once the lease is out; the first, when it was only slow, hands nothing over any more."""
    row = addressed(fay)
    with unit_of_work(fay.tenant.id):
        first = take_message(row.id, now=clock.now(), ctx=fay.system)
    assert first is not None
    assert state(fay) == ("sending", "", 1)
    send(fay)
    assert mail_server.taken == []
    assert enqueue_due_notices(now=clock.now() + LEASE) == 0
    later(fay)
    assert enqueue_due_notices(now=clock.now()) == 1
    run_jobs()
    assert state(fay) == ("sent", "", 2)
    assert len(mail_server.taken) == 1
    with unit_of_work(fay.tenant.id):
        assert not mark_handed_over(first, now=clock.now(), ctx=fay.system)
        settle_failed(first, SendFailure("timeout", "x"), now=clock.now(), ctx=fay.system, rng=RNG)
    assert state(fay) == ("sent", "", 2)


def test_a_worker_that_dies_after_it_leaves_the_end_unknown(fay: Office, mail_server: MailServer) -> None:
    row = addressed(fay)
    with unit_of_work(fay.tenant.id):
        first = take_message(row.id, now=clock.now(), ctx=fay.system)
        assert first is not None
        assert mark_handed_over(first, now=clock.now(), ctx=fay.system)
    later(fay)
    assert enqueue_due_notices(now=clock.now()) == 1
    run_jobs()
    assert state(fay) == ("unknown", "message_unconfirmed", 1)
    assert mail_server.taken == []
    with unit_of_work(fay.tenant.id):
        settle_sent(first, now=clock.now(), ctx=fay.system)  # it was only slow
    assert state(fay) == ("sent", "", 1)


def test_the_sweep_finds_what_no_job_sees_to(fay: Office, mail_server: MailServer) -> None:
    fay.awaiting()
    lose_all_jobs()
    assert enqueue_due_notices(now=clock.now()) == 0  # a moment is left to the job itself
    soon = clock.now() + timedelta(seconds=11)
    assert enqueue_due_notices(now=soon) == 1
    assert enqueue_due_notices(now=soon) == 0
    run_jobs()
    assert len(mail_server.taken) == 1
    with unit_of_work(fay.tenant.id):
        assert Notice.objects.filter(addressed_at=None).count() == 0


def test_a_message_of_another_tenant_is_not_touched(fay: Office, mail_server: MailServer, other_tenant: Any) -> None:
    row = addressed(fay)
    send_message(row.id, ctx=acting_system(other_tenant), rng=RNG)
    assert state(fay) == ("due", "", 0)
    assert mail_server.taken == []


@pytest.mark.adversarial
def test_a_worker_killed_while_the_server_takes_it(fay: Office, mail_server: MailServer) -> None:
    """Kill a worker during the content: that message becomes unknown, and the next worker sends the rest."""
    mail_server.hang_s = 5
    fay.awaiting(500)
    environment = {"THREADA_SMTP_URL": mail_server.url}
    first = start_worker(**environment)
    try:
        assert mail_server.reached.wait(60)
    finally:
        first.kill()
        first.wait()
    mail_server.hang_s = 0
    assert state(fay)[0] == "sending"
    later(fay)
    fay.awaiting(501)
    with running_worker(**environment):
        ends = time.monotonic() + 60
        while statuses(fay) != ["sent", "unknown"]:
            assert time.monotonic() < ends, statuses(fay)
            time.sleep(0.2)
    time.sleep(5)  # what the killed worker left at the server has ended too
    assert len(mail_server.taken) <= 2
    assert len({mail["Message-ID"] for _, mail in mail_server.taken}) == len(mail_server.taken)


@pytest.mark.adversarial
def test_two_workers_in_processes_of_their_own(fay: Office, mail_server: MailServer) -> None:
    environment = {"THREADA_SMTP_URL": mail_server.url}
    with running_worker(**environment), running_worker(**environment):
        for amount in range(500, 520):
            fay.awaiting(amount)
        mail_server.wait_for(20, timeout_s=90)
        time.sleep(2)
    assert len(mail_server.taken) == len({mail["Message-ID"] for _, mail in mail_server.taken}) == 20


def statuses(office: Office) -> list[str]:
    with unit_of_work(office.tenant.id):
        rows = NoticeMessage.objects.filter(recipient=office.people["fay"])
        return sorted(rows.values_list("status", flat=True))


def test_due_at_is_set_while_it_is_open_alone(fay: Office, mail_server: MailServer) -> None:
    """The database's own rule: an open message cannot be forgotten, a closed one is never due."""
    addressed(fay)
    for columns in ({"due_at": None}, {"status": "sent"}, {"status": "unknown"}):
        with pytest.raises(IntegrityError, match="noticemessage_due_while_open"):
            put(fay, **columns)
    assert isinstance(message(fay).due_at, datetime)
