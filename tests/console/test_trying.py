"""Simulation and replay of a policy version in the console."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages

from policies.models import PolicyReplay, PolicyVersion
from policies.sweeps import enqueue_due_shadows
from tests.console.sign_in import Console, confirm
from tests.journeys.demo import LARGE, SMALL, Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock

STRICT = """\
kind: Policy
id: payments
spec:
  rules:
    - {id: nothing, when: "true", effect: deny, reason: CLOSED}
"""
FACTS = """\
item: {workflow: payment_run, channel: web_main, payload: {vendor: Hooli, amount_minor: 5}}
ctx: {action: pay}
"""


def drafted(demo: Demo, console: Console) -> str:
    """Create a draft that denies everything. Return its URL."""
    page = console("admin").post("/console/policies/policy/payments/new-draft/", {"document": STRICT})
    return str(page["Location"])


def test_a_draft_is_simulated_on_one_case(demo: Demo, console: Console) -> None:
    browser, version = console("admin"), drafted(demo, console)
    address = version + "simulate/"
    assert address in browser.get(version).content.decode()
    form = browser.get(address).content.decode()
    assert "is stored." in form
    assert "workflow: " in form
    page = browser.post(address, {"facts": FACTS})
    assert page.status_code == 200
    assert page.context["simulation"]["outcome"] == "deny"
    assert page.context["simulation"]["reason_codes"] == ["CLOSED"]
    assert ("payments", "nothing", "workflow", "matched") in page.context["rules"]
    assert "CLOSED" in page.content.decode()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("item: {workflow: nowhere}", "names no workflow"),
        ("item: [", "document_invalid"),
        ("item: {workflow: payment_run, channel: web_main, payload: {}}", "/facts/item/payload/"),
        ("", "This field is required"),
    ],
)
def test_invalid_facts_are_shown_again_with_errors(facts: str, said: str, demo: Demo, console: Console) -> None:
    address = drafted(demo, console) + "simulate/"
    page = console("admin").post(address, {"facts": facts})
    assert page.status_code == 422
    assert said in page.content.decode()


def test_a_draft_is_replayed_and_the_report_is_read(demo: Demo, console: Console) -> None:
    for payload in (SMALL, LARGE):
        demo.hand_in(payload)
    demo.wait()
    browser, version = console("admin"), drafted(demo, console)
    address = version + "replay/"
    assert 'name="after"' in browser.get(address).content.decode()
    sent = browser.post(address, {"after": "2020-01-01", "before": "2100-01-01", "against": "in_force"})
    assert sent.status_code == 302
    waiting = browser.get(sent["Location"])
    assert "Waiting for a worker" in waiting.content.decode()
    assert 'http-equiv="refresh"' in waiting.content.decode()
    demo.wait()
    page = browser.get(sent["Location"])
    text = page.content.decode()
    assert page.context["row"].status == "finished"
    assert page.context["sentences"][0] == "2 of 2 decisions would be different (100.0 %)."
    assert "http-equiv" not in text
    assert re.search(r'Pay Hooli[^<]* <code class="t-code t-id">pd_', text), "examples have titles"
    assert re.search(r'<svg class="t-flow"[^>]*aria-label="Answers before and after: 2 \w+ would be denied', text)
    report = browser.get(sent["Location"] + "report/")
    assert report.headers["Content-Disposition"].startswith("attachment")
    assert "2 of 2 decisions would be different" in report.content.decode()
    assert re.search(r"Pay Hooli[^<]*<br><code>wi_", report.content.decode()), "so has the report"
    everything = browser.get(sent["Location"] + "report/" + "?format=json")
    assert len(json.loads(b"".join(everything.streaming_content))["flips"]) == 2


def test_a_replay_is_stopped_and_goes_on(demo: Demo, console: Console) -> None:
    browser, version = console("admin"), drafted(demo, console)
    sent = browser.post(version + "replay/", {"after": "2020-01-01", "before": "2020-01-02", "against": "recorded"})
    stopped = confirm(browser, sent["Location"] + "cancel/")
    assert "cancelled" in str(list(get_messages(stopped.wsgi_request))[-1])
    demo.wait()
    assert "Cancelled at" in browser.get(sent["Location"]).content.decode()
    browser.post(sent["Location"] + "resume/")
    demo.wait()
    text = browser.get(sent["Location"]).content.decode()
    assert "The policy applied to no decision in this time window." in text
    again = confirm(browser, sent["Location"] + "cancel/")
    assert "transition_not_allowed" in str(list(get_messages(again.wsgi_request))[-1])


def test_simulation_needs_the_policy_scope(demo: Demo, console: Console) -> None:
    with unit_of_work(demo.tenant.id):
        version = PolicyVersion.objects.filter(policy__slug="payments").get()
    page = f"/console/policies/policyversion/{version.public_id}/"
    browser = console("finance-1")
    assert "Simulate one case" not in browser.get(f"{page}").content.decode()
    for form in ("simulate/", "replay/"):
        assert browser.get(page + form).status_code == 403
        assert browser.post(page + form, {}).status_code == 403
    with unit_of_work(demo.tenant.id):
        assert not PolicyReplay.objects.exists()


def test_a_version_is_compared_with_live_decisions(demo: Demo, console: Console) -> None:
    browser, version = console("admin"), drafted(demo, console)
    address = version + "shadow/"
    assert 'name="last_day"' in browser.get(address).content.decode()
    assert browser.post(address, {"last_day": "2020-01-01"}).status_code == 422
    soon = (clock.now() + timedelta(days=2)).date().isoformat()
    asked = browser.post(address, {"last_day": soon})
    assert f"until the end of {soon} (UTC)" in asked.content.decode()
    page = confirm(browser, address, {"last_day": soon})["Location"]
    assert "This policy has decided nothing since the shadow started." in browser.get(page).content.decode()
    demo.hand_in(SMALL)
    demo.wait()
    enqueue_due_shadows()
    demo.wait()
    shown = browser.get(page)
    assert shown.context["sentences"] == ["1 of 1 decision would be different (100.0 %)."]
    ended = confirm(browser, page + "end/")
    assert "ended" in str(list(get_messages(ended.wsgi_request))[-1])
    assert "Not enforced." in browser.get(page).content.decode()
