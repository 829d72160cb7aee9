"""Every address in every message is opened, by everybody and in every way a scanner would: nothing is different then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.console.sign_in import sign_in
from tests.jobs import TABLE, queued_jobs, run_jobs
from tests.receivers.fixtures import Receiver
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import User
from workitems.models import DecisionStep, StepView
from workitems.steps.deadline_sweep import sweep_deadlines

__all__ = ["mail_server"]

pytestmark = pytest.mark.django_db
MAY_DIFFER = {
    "tenancy_consolesession",  # who is signed in
    "telemetry_receipt",  # refusals of GET where POST alone acts: counted below
    "telemetry_sealqueueentry",
    # That a page was shown to whom it asks: looking is noted, and no state depends on it. Asserted below, row by row.
    "workitems_stepview",
}
AS_IF_TO_DECIDE = {"decision": "approve", "approve": "1", "_method": "POST"}


def everything() -> dict[str, Any]:
    """Return the contents of all tables except sign-ins and refusals."""
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)} - MAY_DIFFER)
    present = set(connection.introspection.table_names())
    found = {}
    with platform_role(), connection.cursor() as cursor:
        for table in [*(table for table in tables if table in present), TABLE]:
            cursor.execute(f'SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t')
            found[table] = cursor.fetchone()
    return found


def kinds_of_receipts(office: Office) -> Counter[str]:
    with unit_of_work(office.tenant.id):
        return Counter(Receipt.objects.values_list("kind", flat=True))


@pytest.fixture
def told(office: Office, mail_server: MailServer, receiver: Receiver, settings: Settings) -> DecisionStep:
    """Send messages of all events on both channels. Return the step, which is still open."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_PUBLIC_URL = "https://threada.example.org"
    for name, person in office.people.items():
        User.objects.filter(id=person.id).update(email=f"{name}@example.org")
        if name in ("fay", "rita", "ada"):
            hook = f"json://127.0.0.1:{receiver.port}/of/{name}"
            edited = office.api(name).edit("/me/notification-preferences", {"chat": {"address": hook}})
            assert edited.status_code == 200
    rule = {**ASKS_TWO, "remind_after": "PT1H", "escalate_after": "PT1H", "escalate_to": [{"user": "ada"}]}
    office.put_rules({**RULES[1], "approvals": rule}, *RULES[2:])
    _, done, _ = office.awaiting(500)
    office.vote(done, "finn", "reject")
    _, step, _ = office.awaiting(501)
    run_jobs()
    past = clock.now() - timedelta(minutes=1)
    office.set_step(step, remind_at=past, escalate_at=past)
    sweep_deadlines(now=clock.now())
    run_jobs()
    return step


def addresses_of(mails: MailServer, chats: Receiver) -> Iterator[str]:
    for _, mail in mails.taken:
        for part in mail.walk():
            if part.get_content_maintype() == "text":
                yield from urls_in(part.get_content())
    for request in chats.requests():
        yield from urls_in(json.loads(request["body"])["message"])


def test_reading_decides_nothing(
    office: Office, told: DecisionStep, mail_server: MailServer, receiver: Receiver
) -> None:
    subjects = {str(mail["Subject"]).split("] ")[1].split(":")[0] for _, mail in mail_server.taken}
    assert subjects == {"Decision requested", "Still waiting for your decision", "Escalated to you", "Decided"}
    titles = {json.loads(request["body"])["title"].split("] ")[1].split(":")[0] for request in receiver.requests()}
    assert titles == subjects
    addresses = set(addresses_of(mail_server, receiver))
    assert {urlsplit(address).netloc for address in addresses} == {"threada.example.org"}
    assert {urlsplit(address).path.split("/")[-3] for address in addresses} == {"decisionstep", "console"}
    assert len(addresses) == 3  # two steps and the preferences

    people = [sign_in(office.people[name]) for name in ("fay", "rita", "ada")]
    office.api("fay").get("/me")
    before, jobs, receipts = everything(), queued_jobs(telling=True), kinds_of_receipts(office)
    statuses = set()
    for address in addresses:
        path = urlsplit(address).path
        for browser in [*people, Client()]:
            for query in ({}, AS_IF_TO_DECIDE, {"envelope_sha256": told.envelope_sha256, "decision": "approve"}):
                statuses.add(browser.get(path, query, follow=True).status_code)
            browser.head(path)
            browser.options(path)
        assert office.api("fay").get(path, AS_IF_TO_DECIDE).status_code == 302  # a token opens no page: to the sign-in
        for action in ("approve", "reject", "claim", "release"):
            status = 405 if "/decisionstep/" in path else 404
            assert people[0].get(path + f"{action}/").status_code == status
    for step in {address.split("/")[-2] for address in addresses if "/decisionstep/" in address}:
        assert office.api("fay").get(f"/decision-steps/{step}", headers={"Accept": "*/*"}).status_code == 200
        for action in ("votes", "claim", "release", "reassign", "escalate"):
            assert office.api("fay").get(f"/decision-steps/{step}/{action}").status_code == 405
    assert statuses == {200}
    assert everything() == before
    with unit_of_work(office.tenant.id):
        looked = StepView.objects.order_by("viewer__username").values_list("step_id", "viewer__username")
        assert list(looked) == [(told.id, "ada"), (told.id, "fay")]  # the open step, who is asked, once each
    assert kinds_of_receipts(office) - receipts == Counter(
        {"request.refused": 10}
    )  # the API's, two steps with five actions
    assert queued_jobs(telling=True) == jobs
    assert office.step(told).status == "pending"
    office.vote(told, "fay")  # who only looked has still their vote
    assert everything() != before
