"""`/console/pulse`: one statement, 304, visibility, and no effect on the session."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.models import Execution, Integration, IntegrationGauge
from tests.console.sign_in import Console, sign_in
from tests.console.test_desk import ask
from tests.factories import make_principal, make_tenant
from tests.journeys.demo import SMALL, Demo
from threada_site.admin.background import HEADER
from threada_site.console.pulse import SINCE
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import ConsoleSession, Membership, User
from workitems.models import StepView

PULSE = "/console/pulse"
LONG_AGO = "00000000-0000-7000-8000-000000000000"
TABLES = re.compile(r"(workitems|integrations|policies)_")


def state(browser: Client, **query: str) -> Any:
    answer = browser.get(PULSE, {"since": LONG_AGO, **query})
    assert answer.status_code == 200, answer.content
    return answer.json()["state"]


def test_a_new_step_is_named_once_to_those_who_can_vote(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert state(browser, page="desk")["new"] == []
    step = ask(demo)["decision_step_id"]
    assert state(browser, page="desk")["new"] == [step]
    assert state(browser, page="desk", rows=step)["new"] == []
    assert state(console("security-1"), page="desk")["new"] == []
    later = ids.first_id_at(clock.now() + timedelta(seconds=1))
    assert state(browser, page="desk", since=str(later))["new"] == []


def test_rows_that_others_decided_are_named(demo: Demo, console: Console) -> None:
    step = ask(demo)
    key = step["decision_step_id"]
    for name in ("finance-1", "finance-2"):
        assert state(console("security-1"), page="desk", rows=key)["gone"] == []
        demo.vote(name, step)
    assert state(console("security-1"), page="desk", rows=key)["gone"] == [key]


@pytest.mark.parametrize("page", ["desk", "dashboard", "step", "item", "execution"])
def test_one_statement_about_cases_and_nothing_without_a_change(demo: Demo, console: Console, page: str) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000})
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)["decision_step_id"]
    key = {"step": step, "item": item, "execution": execution}.get(page, "")
    browser = console("finance-1")
    query = {"page": page, "id": key, "rows": step, "since": str(ids.first_id_at(clock.now()))}
    first = browser.get(PULSE, query)
    with CaptureQueriesContext(connection) as queries:
        again = browser.get(PULSE, query, headers={"If-None-Match": first["ETag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again[SINCE] >= query["since"] or first[SINCE]
    assert again["Cache-Control"] == "private, no-store"
    about_cases = [query["sql"] for query in queries if TABLES.search(query["sql"])]
    assert len(about_cases) == 1, "\n".join(about_cases)
    assert len(queries) <= 9, "\n".join(query["sql"][:150] for query in queries)


def test_a_changed_page_has_another_state(demo: Demo, console: Console) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000})
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    browser = console("finance-1")
    asked = {"step": step["decision_step_id"], "item": item, "execution": execution}
    before = {page: state(browser, page=page, id=key) for page, key in asked.items()}
    assert before["step"]["envelope_sha256"] == step["envelope_sha256"]
    demo.vote("finance-1", step)
    after = state(browser, page="step", id=asked["step"])
    assert (after["votes"], after["status"]) == (1, "pending")
    demo.vote("finance-2", step)
    for page, key in asked.items():
        assert state(browser, page=page, id=key) != before[page]
    assert state(browser, page="step", id=asked["step"])["status"] == "approved"


def test_an_integration_that_starts_failing_changes_the_dashboard(demo: Demo, console: Console) -> None:
    demo.execute(demo.hand_in(SMALL))
    browser = console("admin")
    seen = [state(browser, page="dashboard")["digest"]]
    with unit_of_work(demo.tenant.id):
        integration = Integration.objects.get(slug="int_bank")
        gauge, _ = IntegrationGauge.objects.get_or_create(tenant_id=demo.tenant.id, integration=integration)
    for change in ({"failures": 1}, {"opened_at": clock.now()}, {"failures": 0, "opened_at": None}):
        with unit_of_work(demo.tenant.id):
            IntegrationGauge.objects.filter(id=gauge.id).update(**change)
        seen.append(state(browser, page="dashboard")["digest"])
    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[0]
    with unit_of_work(demo.tenant.id):
        Execution.objects.update(status="outcome_unknown")
    assert state(browser, page="dashboard")["digest"] != seen[3]


def test_a_new_envelope_is_named_on_the_page_of_the_old_one(demo: Demo, console: Console) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000})
    demo.execute(item)
    old = demo.step_of(item)["decision_step_id"]
    assert demo.client.edit(f"/work-items/{item}", {"payload": {"vendor": "X", "amount_minor": 3_000_000}}).status_code
    demo.wait()
    demo.execute(item)
    new = demo.step_of(item)["decision_step_id"]
    found = state(console("finance-1"), page="step", id=old)
    assert (found["status"] != "pending", found["current"]) == (True, new)


def test_invisible_and_missing_rows_are_the_same(demo: Demo, console: Console) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000})
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)["decision_step_id"]
    asked = {"step": step, "item": item, "execution": execution}
    make_principal(demo.tenant, "olga", roles=["requester"])
    stranger = sign_in(make_principal(make_tenant("other"), "stranger", roles=["tenant_admin"]))
    for browser in (console("olga"), stranger):
        for page, key in asked.items():
            missing = f"{key[:3]}{'0' * (len(key) - 3)}"
            answers = [browser.get(PULSE, {"page": page, "id": one}) for one in (key, missing, "nonsense")]
            assert {(answer.status_code, answer.content) for answer in answers} == {(404, b'{"state": null}')}
        quiet = browser.get(PULSE, {"page": "dashboard", "since": LONG_AGO, "rows": step})
        assert quiet.json()["state"]["new"] == []
        tags = {quiet["ETag"]}
        ask(demo)
        tags.add(browser.get(PULSE, {"page": "dashboard", "since": LONG_AGO, "rows": step})["ETag"])
        assert len(tags) == 1
    assert browser.get(PULSE, {"page": "nothing"}).status_code == 404


def test_it_does_not_extend_the_session(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    ask(demo)
    old = clock.now() - timedelta(minutes=settings.THREADA_SESSION_IDLE_MINUTES - 1)
    ConsoleSession.objects.update(last_used_at=old)
    assert browser.get(PULSE, {"page": "desk"}).status_code == 200
    assert browser.get("/console/workitems/decisionstep/desk/", headers={HEADER: "1"}).status_code == 200
    assert ConsoleSession.objects.get(user__username="finance-1").last_used_at == old
    ConsoleSession.objects.update(last_used_at=old - timedelta(minutes=2))
    assert browser.get(PULSE, {"page": "desk"}).status_code == 401
    assert browser.get("/console/workitems/decisionstep/desk/").status_code == 302


def test_signed_out_or_elsewhere_it_is_401(demo: Demo, console: Console) -> None:
    answer = Client().get(PULSE, {"page": "desk"})
    assert (answer.status_code, answer.json(), answer["Cache-Control"]) == (401, {"state": None}, "private, no-store")
    browser = console("finance-1")
    assert browser.get(PULSE, {"page": "desk"}).status_code == 200
    with unit_of_work(demo.tenant.id):
        Membership.objects.filter(user__username="finance-1").update(accepted_at=None)
    assert browser.get(PULSE, {"page": "desk"}).status_code == 401
    assert browser.post(PULSE, {"page": "desk"}).status_code == 401


def test_a_removed_grant_ends_what_is_named(demo: Demo, console: Console) -> None:
    step = ask(demo)["decision_step_id"]
    browser = console("finance-1")
    assert state(browser, page="desk")["new"] == [step]
    user = User.objects.get(username="finance-1")
    user.groups.clear()
    answer = browser.get(PULSE, {"page": "desk", "since": LONG_AGO, "rows": step})
    assert (answer.status_code, answer.json()) == (404, {"state": None})


def test_a_page_that_updates_itself_is_no_page_view(demo: Demo, console: Console) -> None:
    step = ask(demo)["decision_step_id"]
    address = f"/console/workitems/decisionstep/{step}/"
    browser = console("finance-1")
    browser.get(address, headers={HEADER: "1"})
    with unit_of_work(demo.tenant.id):
        assert StepView.objects.count() == 0
    browser.get(address)
    with unit_of_work(demo.tenant.id):
        assert StepView.objects.count() == 1


def test_a_freeze_changes_the_state_of_affected_pages(demo: Demo, console: Console) -> None:
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    browser = console("admin")
    before = [state(browser, page=page, id=key) for page, key in (("desk", ""), ("execution", execution))]
    assert demo.api("admin").post("/freezes", {"scope": {}, "reason": "Stop."}).status_code == 201
    after = [state(browser, page=page, id=key) for page, key in (("desk", ""), ("execution", execution))]
    assert before[0]["digest"] != after[0]["digest"]
    assert before[1] != after[1]
