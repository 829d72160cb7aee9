"""Rules with `step_up: true` need a password entered in this session within the last five minutes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import LARGE, Demo
from threada_site.admin.reauthentication import MOST_WRONG
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.kernel import clock
from threada_site.tenancy.models import ConsoleSession, User

APPROVE = "admin:workitems_decisionstep_approve"
GUARDED = {
    "id": "guarded", "when": "ctx.action == 'pay'", "effect": "require_approval", "reason": "GUARDED",
    "approvals": {"role": "finance", "step_up": True},
}  # fmt: skip


@pytest.fixture
def step(demo: Demo) -> dict[str, str]:
    demo.put_rules(GUARDED)
    with unit_of_work(demo.tenant.id):
        for name in ("finance-1", "finance-2"):
            set_password(User.objects.get(username=name), PASSWORD, ctx=acting_system(demo.tenant))
    item = demo.hand_in(LARGE)
    demo.execute(item)
    return demo.step_of(item)


def approve(browser: Client, step: dict[str, str], **sent: str) -> str:
    """Press Approve. Return the last message of the next page."""
    answer = browser.post(
        reverse(APPROVE, args=[step["decision_step_id"]]), {"envelope_sha256": step["envelope_sha256"], **sent}
    )
    assert answer.status_code == 302
    return str(list(get_messages(answer.wsgi_request))[-1])


def votes(demo: Demo, step: dict[str, str]) -> int:
    return len(demo.client.get(f"/decision-steps/{step['decision_step_id']}").json()["votes"])


def age(browser: Client, by: timedelta) -> None:
    """Move the time of the last password entry into the past."""
    session = browser.session
    session["reauthenticated_at"] = (clock.now() - by).timestamp()
    session.save()


def test_without_the_password_nothing_is_decided(demo: Demo, console: Console, step: dict[str, str]) -> None:
    browser = console("finance-1")
    page = browser.get(reverse("admin:workitems_decisionstep_change", args=[step["decision_step_id"]])).content.decode()
    assert 'name="password"' in page
    assert "(step_up_required)" in approve(browser, step)
    assert votes(demo, step) == 0
    with unit_of_work(demo.tenant.id):
        assert Receipt.objects.get(kind="request.refused").reason_codes == ["step_up_required"]
    assert approve(browser, step, password=PASSWORD).startswith("Your approval is recorded.")
    assert votes(demo, step) == 1


def test_the_password_lasts_five_minutes(demo: Demo, console: Console, step: dict[str, str]) -> None:
    browser = console("finance-1")
    age(browser, timedelta(minutes=5, seconds=5))
    assert "(step_up_required)" in approve(browser, step)
    age(browser, timedelta(minutes=-1))
    assert "(step_up_required)" in approve(browser, step)
    age(browser, timedelta(minutes=4))
    address = reverse("admin:workitems_decisionstep_change", args=[step["decision_step_id"]])
    assert 'name="password"' not in browser.get(address).content.decode()
    assert approve(browser, step).startswith("Your approval is recorded.")


def test_reauthentication_is_bound_to_the_session(demo: Demo, console: Console, step: dict[str, str]) -> None:
    age(console("finance-1"), timedelta())
    assert "(step_up_required)" in approve(console("finance-1"), step)
    assert votes(demo, step) == 0


def test_wrong_passwords_are_refused_and_end_the_session(demo: Demo, console: Console, step: dict[str, str]) -> None:
    browser = console("finance-1")
    for _ in range(MOST_WRONG - 1):
        assert "(step_up_failed)" in approve(browser, step, password="not mine")
    assert browser.get("/console/").status_code == 200
    approve(browser, step, password="not mine")
    assert browser.get("/console/")["Location"].startswith("/console/login/")
    assert list(ConsoleSession.objects.values_list("user", flat=True)) == [None]
    assert votes(demo, step) == 0
    with unit_of_work(demo.tenant.id):
        refused = [receipt.reason_codes for receipt in Receipt.objects.filter(kind="request.refused")]
    assert refused == [["step_up_failed"]] * MOST_WRONG


def test_a_token_cannot_reauthenticate(demo: Demo, step: dict[str, str]) -> None:
    refused = demo.vote("finance-1", step)
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "step_up_required")
    assert "in the console" in refused.json()["detail"]
    assert votes(demo, step) == 0


def test_other_rules_ask_for_no_password(demo: Demo, console: Console) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    other = demo.step_of(item)
    browser = console("finance-1")
    address = reverse("admin:workitems_decisionstep_change", args=[other["decision_step_id"]])
    assert 'name="password"' not in browser.get(address).content.decode()
    assert approve(browser, other).startswith("Your approval is recorded.")
