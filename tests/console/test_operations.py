"""Operations page, freezes, dead letters and undo in the console; and the same through the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.freezes.scope import FreezeScope
from integrations.models import Execution, IntegrationGauge
from tests.console.sign_in import sign_in
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.conftest import bank, office
from tests.workitems.office import BANK, WORKFLOW, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.executions.freezes import set_freeze
from workitems.executions.queue_age import oldest_due

__all__ = ["bank", "office", "receiver"]


@pytest.fixture
def admin(office: Office) -> Client:
    office.join("boss", roles=("tenant_admin",))
    return sign_in(office.people["boss"])


def send(browser: Client, page: str, *key: str, **sent: str) -> str:
    """Submit a form. Return the text of the next page."""
    answer = browser.post(reverse(f"admin:integrations_{page}", args=key), sent, follow=True)
    assert answer.status_code == 200, answer.content.decode()
    return str(answer.content.decode())


def broken(office: Office, bank: Receiver) -> Execution:
    bank.behave(status=422)
    execution = office.execute(office.decided()).execution
    run_jobs()
    bank.behave()
    return execution


def test_operations_show_what_waits_and_why(office: Office, bank: Receiver, admin: Client) -> None:
    office.put_bank(base_url=bank.url, limits={"concurrency": 2})
    dead = broken(office, bank)
    unknown, waiting = (office.execute(office.decided()).execution for _ in range(2))
    office.set_execution(unknown, status="outcome_unknown")
    with unit_of_work(office.tenant.id):
        until = clock.now() + timedelta(minutes=5)
        IntegrationGauge.objects.update(
            failures=3, opened_at=clock.now(), open_until=until, waits_until=until, waits_for="breaker"
        )
    run_jobs()
    page = admin.get(reverse("admin:integrations_execution_operations"))
    assert page.status_code == 200
    assert {label: value for label, value, _, _ in page.context["metrics"] if "second" not in label} == {
        "queued": "1",
        "running": "0",
        "waiting to retry": "0",
        "blocked by a freeze": "0",
        "outcome unknown": "1",
        "dead letters": "1",
        "freezes in force": "0",
    }
    (health,) = page.context["health"]
    assert (health.slug, health.state, health.limits.concurrency, health.failed, health.unknown, health.waiting) == (
        "bank", "resting", 2, 1, 1, 1,
    )  # fmt: skip
    text = page.content.decode()
    assert dead.public_id in text
    assert unknown.public_id in text
    shown = office.api("boss").get("/integrations/bank/health").json()
    assert (shown["state"], shown["failures_in_a_row"], shown["waits_for"], shown["last_failure"]) == (
        "resting", 3, "breaker", "rejected_by_receiver",
    )  # fmt: skip
    page = admin.get(reverse("admin:integrations_integration_change", args=["bank"])).content.decode()
    assert "3; after 10 no calls for 30 s" in page
    row = admin.get(reverse("admin:integrations_execution_change", args=[waiting.public_id])).content.decode()
    assert "bank is not called before" in row


def test_an_empty_tenant_has_nothing_to_operate(office: Office, admin: Client) -> None:
    text = admin.get(reverse("admin:integrations_execution_operations")).content.decode()
    assert "No execution needs to be reconciled." in text
    assert "There are no dead letters." in text


def test_freezing_and_lifting_by_form(office: Office, bank: Receiver, admin: Client) -> None:
    execution = office.execute(office.decided()).execution
    said = send(admin, "freeze_new", scope="/bank/pay", reason="The bank is on fire.")
    assert "The freeze is in force for pay on bank." in said
    run_jobs()
    blocked = office.execution(execution)
    assert (blocked.status, bank.requests()) == ("started", [])
    with unit_of_work(office.tenant.id):
        assert blocked.blocked_by_freeze is not None
        key = blocked.blocked_by_freeze.public_id
    assert execution.public_id in admin.get(reverse("admin:integrations_freeze_change", args=[key])).content.decode()
    page = admin.get(reverse("admin:integrations_execution_change", args=[execution.public_id])).content.decode()
    assert "Blocked by a freeze" in page
    assert "A freeze must now be lifted by another person" in send(admin, "freeze_four_eyes")
    refused = admin.post(reverse("admin:integrations_freeze_lift", args=[key]), {"reason": ""})
    assert refused.status_code == 422
    assert "second_person_required" in refused.content.decode()
    office.join("other", roles=("tenant_admin",))
    assert "The freeze of pay on bank is lifted." in send(
        sign_in(office.people["other"]), "freeze_lift", key, reason="Out"
    )
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_who_may_not_freeze_sees_no_form(office: Office) -> None:
    browser = sign_in(office.people["wim"])
    assert browser.get(reverse("admin:integrations_freeze_new")).status_code == 403
    assert browser.post(reverse("admin:integrations_freeze_new"), {"scope": "//", "reason": "x"}).status_code == 422


def test_dead_letters_are_retried_by_form(office: Office, bank: Receiver, admin: Client) -> None:
    first, second = broken(office, bank), broken(office, bank)
    listed = admin.get(reverse("admin:integrations_execution_changelist") + "?dead_letter=true").content.decode()
    assert first.public_id in listed
    said = send(admin, "execution_replay", integration="bank", workflow="", failure="", limit="1")
    assert "1 dead letters are retried" in said
    assert "There are more." in said
    run_jobs()
    assert [office.execution(run).status for run in (first, second)] == ["succeeded", "failed"]


def test_an_action_is_undone_by_form(office: Office, bank: Receiver, admin: Client) -> None:
    office.upsert_workflow(actions=[*WORKFLOW["actions"], "refund"])
    refund = {"method": "POST", "path": "/refunds", "body": "${undoes.idempotency_key}"}
    office.put_bank(base_url=bank.url, actions={"pay": {**BANK["actions"]["pay"], "undo": "refund"}, "refund": refund})
    execution = office.execute(office.decided()).execution
    run_jobs()
    page = admin.get(reverse("admin:integrations_execution_change", args=[execution.public_id])).content.decode()
    assert "Undo by refund" in page
    assert "The undo action is executed." in send(admin, "execution_undo", execution.public_id, input="{}")
    run_jobs()
    assert [call["path"] for call in bank.requests()] == ["/payments", "/refunds"]
    assert bank.requests()[1]["body"] == f'"{execution.public_id}"'


def test_the_age_of_the_queue_reads_an_index_and_skips_what_a_freeze_blocks(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url)
    blocked, *waiting = (office.execute(office.decided()).execution for _ in range(3))
    with unit_of_work(office.tenant.id):
        freeze = set_freeze(FreezeScope(), reason="Test", ctx=office.system).freeze
        now = clock.now()
        Execution.objects.filter(id=blocked.id).update(blocked_by_freeze=freeze, next_try_at=now - timedelta(hours=3))
        for hours, execution in enumerate(waiting, 1):
            sent_at = now if hours == 2 else None
            Execution.objects.filter(id=execution.id).update(
                next_try_at=now - timedelta(hours=hours), dispatched_at=sent_at
            )
        assert oldest_due(office.system, now=now) == now - timedelta(hours=2)
        with CaptureQueriesContext(connection) as captured:
            assert oldest_due(office.system, now=now - timedelta(hours=4)) is None
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {captured.captured_queries[-1]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "execution_waiting_idx" in plan
    assert "execution_dispatched_idx" in plan
    assert "Sort" not in plan
