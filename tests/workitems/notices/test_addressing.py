"""Notices: recipients, events and messages, each sent once, by a real mail server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from integrations.configuration.configure import upsert_integration
from tests.factories import make_tenant
from tests.jobs import lose_all_jobs, queued_jobs, run_jobs, waiting_jobs
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.workitems.office import ASKS_TWO, RULES, Office, open_office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant, User
from workitems.executions.close_item import cancel_work_item
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.items.locks import locked_item, locked_step
from workitems.metrics import notice_metrics
from workitems.models import Notice, NoticeMessage
from workitems.notices.addressing import SEND, address_notice
from workitems.notices.sweep import enqueue_due_notices
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.delegations import OutOfOffice, confirm_delegation, delegate
from workitems.steps.escalation import escalate_step
from workitems.steps.reassignment import reassign_step

__all__ = ["mail_server"]

pytestmark = pytest.mark.django_db

type Told = list[tuple[str, str, str]]


@pytest.fixture(autouse=True)
def addresses(office: Office) -> None:
    for name, person in office.people.items():
        User.objects.filter(id=person.id).update(email=f"{name}@example.org")


def messages(office: Office, **which: Any) -> Told:
    """Event, person and status (or why not) of every message, by event and person."""
    with unit_of_work(office.tenant.id):
        rows = NoticeMessage.objects.filter(**which).select_related("notice", "recipient").order_by("notice_id")
        found = [(row.notice.kind, row.recipient.username, row.reason or row.status) for row in rows]
    return sorted(found, key=lambda entry: (entry[0], entry[1]))


def told(server: MailServer) -> list[tuple[str, str]]:
    """Return recipients and subjects, in order of names."""
    return sorted((address.partition("@")[0], str(mail["Subject"])) for address, mail in server.taken)


def tenants_by_turns() -> list[str]:
    """Return the tenants of the messages that wait, in the order in which workers take them."""
    names = {str(tenant.id): tenant.slug for tenant in Tenant.objects.all()}
    jobs = sorted((job for job in waiting_jobs() if job.task == SEND), key=lambda job: -job.priority)
    return [names[job.arguments["tenant_id"]] for job in jobs]


def test_messages_of_a_tenant_with_many_do_not_delay_another(office: Office, mail_server: MailServer) -> None:
    """Also if they were lost: the sweep enqueues them in the same order."""
    quiet = open_office(make_tenant("quiet"))
    for name, person in quiet.people.items():
        User.objects.filter(id=person.id).update(email=f"{name}@example.org")
    for each in (office, office, quiet):
        _, step, _ = each.awaiting()
        with unit_of_work(each.tenant.id):
            address_notice(Notice.objects.get(step=step).id, now=clock.now(), ctx=each.system)
    by_turns = ["acme", "quiet", "acme", "quiet", "acme", "quiet", "acme", "acme", "acme"]
    assert tenants_by_turns() == by_turns
    lose_all_jobs()
    assert enqueue_due_notices(now=clock.now() + timedelta(minutes=1)) == 9
    assert tenants_by_turns() == by_turns


def test_every_pending_approver_is_notified_once(office: Office, mail_server: MailServer) -> None:
    """Three of finance may decide; the requester and others may not, and hear nothing."""
    _, step, _ = office.awaiting()
    run_jobs()
    subject = "[acme] Decision requested: pay for payments"
    assert told(mail_server) == [("fay", subject), ("finn", subject), ("fred", subject)]
    assert messages(office) == [("assigned", name, "sent") for name in ("fay", "finn", "fred")]
    run_jobs()
    with unit_of_work(office.tenant.id):
        assert address_notice(Notice.objects.get(step=step).id, now=clock.now(), ctx=office.system) == []
    assert len(mail_server.taken) == 3
    assert queued_jobs(telling=True) == []


def test_text_and_headers_of_a_mail(office: Office, mail_server: MailServer, settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example.org/"
    User.objects.filter(username="fay").update(display_name="Fay Wray", time_zone="Europe/Berlin")
    item, step, _ = office.awaiting(9876543210)
    office.set_step(
        step,
        opened_at=clock.now().replace(2026, 1, 31, 9, 30),
        expires_at=clock.now().replace(2026, 7, 31, 9, 30),
    )
    run_jobs()
    (mail,) = mail_server.to("fay@example.org")
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    page = f"https://threada.example.org/console/workitems/decisionstep/{step.public_id}/"
    assert text.get_content().splitlines() == [
        "Hello Fay Wray,",
        "",
        "A decision is pending for you or for somebody with your role.",
        "",
        "Should pay be executed on bank?",
        "",
        "Tenant: acme",
        "Workflow: payments",
        f"Work item: {item.public_id}",
        f"Decision: {step.public_id}",
        "Asked: 31 January 2026, 10:30 (Europe/Berlin, UTC+01:00)",
        "Deadline: 31 July 2026, 11:30 (Europe/Berlin, UTC+02:00)",
        "",
        "Open decision:",
        page,
        "",
        "Opening the page casts no vote. Only the page shows the contents of the case.",
        "Notification preferences: https://threada.example.org/console/notifications/",
        "",
    ]
    preferences = "https://threada.example.org/console/notifications/"
    assert set(urls_in(text.get_content())) == set(urls_in(html.get_content())) == {page, preferences}
    assert "9876543210" not in mail.as_string()
    assert "31 January 2026, 10:30 (Europe/Berlin, UTC+01:00)" in html.get_content()
    assert (mail["To"], mail["Auto-Submitted"]) == ("fay@example.org", "auto-generated")
    with unit_of_work(office.tenant.id):
        row = NoticeMessage.objects.get(recipient=office.people["fay"])
    assert mail["Message-ID"] == f"<{row.public_id}@threada.example.org>"
    (other,) = mail_server.to("finn@example.org")
    assert "Asked: 31 January 2026, 09:30 (UTC)" in str(other.get_body(("plain",)).get_content())  # type: ignore[union-attr]


def test_a_question_that_holds_values_is_not_repeated(office: Office, mail_server: MailServer) -> None:
    """The action's own question is rendered from the payload, so it stays on the page."""
    item = office.decided(9876543210)
    with unit_of_work(office.tenant.id):
        desk = {"question": "Pay ${item.payload.amount} at once?", "approvals": {"role": "finance"}}
        spec = {"connector": "workflow", "actions": {"request_approval": desk}}
        upsert_integration("desk", spec, ctx=office.system)
    office.execute(item, action="request_approval", integration="desk")
    run_jobs()
    assert office.pending_step(item).question == "Pay 9876543210 at once?"
    assert {name for name, _ in told(mail_server)} == {"fay", "finn", "fred"}
    assert not any("9876543210" in mail.as_string() for _, mail in mail_server.taken)
    assert "Should this payments request go ahead?" in mail_server.taken[0][1].as_string()


def test_a_decision_is_notified_to_requester_and_voters(office: Office, mail_server: MailServer) -> None:
    """But not to whom the last vote was, who knows; nor to whom it does not wait for any more."""
    _, step, _ = office.awaiting()
    run_jobs()
    office.vote(step, "fay")
    office.vote(step, "finn")
    mail_server.taken.clear()
    run_jobs()
    subject = "[acme] Decided: pay for payments was approved"
    assert told(mail_server) == [("fay", subject), ("rita", subject)]
    assert messages(office, notice__kind="decided") == [("decided", "fay", "sent"), ("decided", "rita", "sent")]


def test_a_rejection_and_an_expiry_are_notified_as_such(office: Office, mail_server: MailServer) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    _, late, _ = office.awaiting(600)
    office.set_step(late, expires_at=clock.now() - timedelta(minutes=1))
    sweep_deadlines(now=clock.now())
    run_jobs()
    assert told(mail_server) == [
        ("rita", "[acme] Decided: pay for payments ended without a decision"),
        ("rita", "[acme] Decided: pay for payments was rejected"),
    ]


def test_a_step_closed_before_its_notice_is_sent_notifies_nobody(office: Office, mail_server: MailServer) -> None:
    item, _, _ = office.awaiting()
    office.on_item(item, cancel_work_item, reason="Duplicate request.")
    run_jobs()
    assert (mail_server.taken, messages(office)) == ([], [])


def test_a_reminder_goes_to_those_who_have_not_decided(office: Office, mail_server: MailServer) -> None:
    put_rule(office, remind_after="PT1H", escalate_to=[{"user": "ada"}], escalate_after="PT2H")
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    run_jobs()
    mail_server.taken.clear()
    office.set_step(step, remind_at=clock.now() - timedelta(minutes=1))
    sweep_deadlines(now=clock.now())
    run_jobs()
    subject = "[acme] Still waiting for your decision: pay for payments"
    assert told(mail_server) == [("finn", subject), ("fred", subject)]
    mail_server.taken.clear()
    office.set_step(step, escalate_at=clock.now() - timedelta(minutes=1))
    sweep_deadlines(now=clock.now())
    run_jobs()
    assert told(mail_server) == [("ada", "[acme] Escalated to you: pay for payments")]


def put_rule(office: Office, **rule: Any) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **rule}}, *RULES[2:])


def test_a_new_assignee_is_notified_again(office: Office, mail_server: MailServer) -> None:
    _, step, _ = office.awaiting()
    run_jobs()
    mail_server.taken.clear()
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        reassign_step(item, locked, office.people["finn"], ctx=office.ctx("fay"))
    run_jobs()
    assert told(mail_server) == [("finn", "[acme] Decision requested: pay for payments")]


def test_escalating_by_hand_does_not_tell_who_does_it(office: Office, mail_server: MailServer) -> None:
    put_rule(office, escalate_to=[{"role": "finance"}, {"user": "ada"}], escalate_after="PT2H")
    _, step, _ = office.awaiting()
    run_jobs()
    mail_server.taken.clear()
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        escalate_step(item, locked, ctx=office.ctx("fay"))
    run_jobs()
    assert [name for name, _ in told(mail_server)] == ["ada", "finn", "fred"]


def test_who_has_no_address_is_skipped_with_the_reason(office: Office, mail_server: MailServer) -> None:
    User.objects.filter(username="fay").update(email="")
    office.awaiting()
    run_jobs()
    assert [name for name, _ in told(mail_server)] == ["finn", "fred"]
    assert messages(office)[0] == ("assigned", "fay", "notice_no_address")


def test_without_a_mail_server_everybody_is_skipped(office: Office) -> None:
    office.awaiting()
    run_jobs()
    assert messages(office) == [("assigned", name, "notice_channel_off") for name in ("fay", "finn", "fred")]
    assert queued_jobs(telling=True) == []


def test_who_decided_while_the_server_was_away_is_left_alone(office: Office, mail_server: MailServer) -> None:
    _, step, _ = office.awaiting()
    mail_server.refusals = ["451 Not now"] * 3
    run_jobs()
    assert messages(office) == [("assigned", name, "rejected_by_receiver") for name in ("fay", "finn", "fred")]
    office.vote(step, "fay")
    due_now(office)
    run_jobs(ahead_of_time=True)
    assert messages(office) == [
        ("assigned", "fay", "notice_overtaken"),
        ("assigned", "finn", "sent"),
        ("assigned", "fred", "sent"),
    ]


def due_now(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        NoticeMessage.objects.filter(due_at__isnull=False).update(due_at=clock.now() - timedelta(minutes=1))


def test_stale_notices_are_not_sent(office: Office, mail_server: MailServer) -> None:
    office.awaiting()
    with unit_of_work(office.tenant.id):
        Notice.objects.update(created_at=clock.now() - timedelta(days=3, seconds=1))
    run_jobs()
    assert (mail_server.taken, messages(office)) == ([], [])
    with unit_of_work(office.tenant.id):
        assert Notice.objects.filter(addressed_at=None).count() == 0


def test_who_left_is_not_written_to(office: Office, mail_server: MailServer) -> None:
    _, step, _ = office.awaiting()
    run_jobs()
    mail_server.taken.clear()
    office.vote(step, "fay")
    office.vote(step, "finn", "reject")
    with unit_of_work(office.tenant.id):
        remove_member(office.people["fay"], ctx=office.system)
    run_jobs()
    about_the_decision = [name for name, subject in told(mail_server) if "member" not in subject]
    assert about_the_decision == ["rita"]
    assert messages(office, notice__kind="decided")[0] == ("decided", "fay", "notice_recipient_gone")


def test_services_and_agents_are_not_written_to(office: Office, mail_server: MailServer) -> None:
    office.join("robot", kind="service")
    User.objects.filter(username="robot").update(email="robot@example.org")
    item = office.decided(500, by="robot")
    started = office.execute(item, by="robot")
    assert started.step is not None
    office.vote(started.step, "fay", "reject")
    run_jobs()
    assert (told(mail_server), messages(office, notice__kind="decided")) == ([], [])


def test_metrics_count_unsent_messages(office: Office, mail_server: MailServer) -> None:
    office.awaiting()
    metrics = measured()
    assert metrics["threada_notices_unsent"] == 1
    assert 0 <= metrics["threada_notices_unsent_oldest_seconds"] < 60
    mail_server.refuse_at, mail_server.refusals = "RCPT", ["550 No such person"]
    run_jobs()
    metrics = measured()
    assert (metrics["threada_notices_unsent"], metrics["threada_notices_unsent_oldest_seconds"]) == (0, 0)
    assert (metrics["threada_notices_failed/mail"], metrics["threada_notices_failed/chat"]) == (1, 0)


def measured() -> dict[str, float]:
    with platform_role():
        return {
            "/".join([metric.name, *(value for _, value in metric.labels)]): metric.value for metric in notice_metrics()
        }


def test_a_stage_is_notified_when_it_opens(office: Office, mail_server: MailServer) -> None:
    """Those of a later stage hear of it once the stage before is decided, and not earlier."""
    stages = {"stages": [{"role": "finance"}, {"user": "ada"}], "exclude": ["requester"]}
    office.put_rules({**RULES[1], "approvals": stages}, *RULES[2:])
    _, step, _ = office.awaiting()
    run_jobs()
    assert [name for name, _ in told(mail_server)] == ["fay", "finn", "fred"]
    mail_server.taken.clear()
    office.vote(step, "fay")
    run_jobs()
    assert told(mail_server) == [("ada", "[acme] Decision requested: pay for payments")]


def test_a_delegate_is_notified_too(office: Office, mail_server: MailServer) -> None:
    out_of_office = OutOfOffice(
        delegator=office.people["fay"], delegate=office.people["vera"], ends_at=clock.now() + timedelta(days=1)
    )
    with unit_of_work(office.tenant.id):
        delegate(out_of_office, ctx=office.ctx("fay"))
    run_jobs()
    assert told(mail_server) == [("vera", "[acme] You are named as a delegate")]
    mail_server.taken.clear()
    office.awaiting()
    run_jobs()
    assert [name for name, _ in told(mail_server)] == ["fay", "finn", "fred", "vera"]


def test_the_delegator_hears_of_a_proposal_and_of_its_confirmation(office: Office, mail_server: MailServer) -> None:
    """Preferences do not turn these messages off, and nobody else receives them."""
    office.join("bea", roles=("tenant_admin",))
    out_of_office = OutOfOffice(
        delegator=office.people["fay"], delegate=office.people["vera"], ends_at=clock.now() + timedelta(days=1)
    )
    run_jobs()
    mail_server.taken.clear()
    with unit_of_work(office.tenant.id):
        row = delegate(out_of_office, ctx=office.ctx("ada"))
    run_jobs()
    assert told(mail_server) == [
        ("fay", "[acme] A delegation asks for your consent"),
        ("vera", "[acme] You are named as a delegate"),
    ]
    mail_server.taken.clear()
    with unit_of_work(office.tenant.id):
        confirm_delegation(row, ctx=office.ctx("bea"))
    run_jobs()
    assert told(mail_server) == [("fay", "[acme] Your delegation was confirmed by a second person")]


def test_a_rolled_back_event_is_not_notified(office: Office, mail_server: MailServer) -> None:
    """The notice, its job and the step commit together or not at all."""
    item = office.decided(500)
    with unit_of_work(office.tenant.id):
        asked = ActionRequest(integration="bank", action="pay")
        execute_action(locked_item(item.id, ctx=office.system), asked, ctx=office.ctx("rita"))
        assert [name for name, _ in queued_jobs(telling=True)] == ["workitems.address_notice"]
        transaction.set_rollback(True)
    assert (office.count(Notice), queued_jobs(telling=True)) == (0, [])
    run_jobs()
    assert mail_server.taken == []


def test_the_title_of_a_message_marks_mixed_scripts(office: Office, mail_server: MailServer) -> None:
    office.upsert_workflow(title="Pay ${item.payload.vendor}")
    office.awaiting(payload={"amount": 500, "vendor": "H\u043e\u043eli"})
    run_jobs()
    assert {said for _, said in told(mail_server)} == {"[acme] Decision requested: [mixed scripts] Pay H\u043e\u043eli"}


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "[acme] Decision requested: Pay EUR 5.00 to Hooli"),
        ({"data_class": "health"}, "[acme] Decision requested: pay for payments"),
        ({"subject": "/vendor"}, "[acme] Decision requested: pay for payments"),
    ],
)
def test_a_title_is_omitted_for_sensitive_and_encrypted_cases(
    office: Office, mail_server: MailServer, settings: Settings, changes: dict[str, Any], subject: str
) -> None:
    settings.THREADA_SENSITIVE_DATA_CLASSES = ["health"]
    title = "Pay ${money(item.payload.amount, 'EUR')} to ${item.payload.vendor}"
    office.upsert_workflow(title=title, **changes)
    office.awaiting(payload={"amount": 500, "vendor": "Hooli"})
    run_jobs()
    assert {said for _, said in told(mail_server)} == {subject}
    assert all(("Hooli" in mail.as_string()) is ("Hooli" in subject) for _, mail in mail_server.taken)
