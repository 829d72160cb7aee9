"""Test calls of integrations: a real request outside of any case, within narrow limits."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from integrations.configuration.configure import upsert_integration
from integrations.models import IntegrationTest
from telemetry.models import Receipt
from tests.console.sign_in import Console, confirm
from tests.factories import acting_system, make_principal
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from tests.receivers.fixtures import Receiver, receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES

__all__ = ["receiver"]
PAGE = "/console/integrations/integration/int_test/"
CALL = f"{PAGE}test-call/"
MOCK = "/console/integrations/integration/int_mock/"
SECRET = "canary-token"


@pytest.fixture
def system(demo: Demo, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    monkeypatch.setenv("TEST_TOKEN", SECRET)
    put(demo, receiver.url)
    return receiver


def put(demo: Demo, url: str, **more: Any) -> None:
    spec = {
        "connector": "http",
        "base_url": url,
        "auth": {"scheme": "bearer", "secret": {"env": "TEST_TOKEN"}},
        "actions": {
            "look": {"method": "GET", "path": "/vendors/${item.payload.vendor}"},
            "order": {"method": "POST", "path": "/orders", "body": {"note": "${input.note}"}},
            "pay": {"method": "POST", "path": "/payments"},
            **more,
        },
    }
    with unit_of_work(demo.tenant.id):
        upsert_integration("int_test", spec, ctx=acting_system(demo.tenant, EntryPoint.COMMAND))


LOOK = {"action": "look", "payload": "vendor: Hooli"}
ORDER = {"action": "order", "input": "note: Ink", "accepts_effects": "on"}


def ended(demo: Demo) -> IntegrationTest:
    run_jobs()
    with unit_of_work(demo.tenant.id):
        return IntegrationTest.objects.latest("id")


def test_request_and_response_are_shown_and_the_secret_is_not(demo: Demo, system: Receiver, console: Console) -> None:
    hostile = f'<script>alert("{SECRET}")</script>' + "x" * 40_000
    system.behave(body=hostile, content_type="text/html")
    browser = console("admin")
    asked = browser.post(CALL, LOOK).content.decode()
    assert "A real request is sent now" in asked
    assert "Request of the test call" in asked
    assert f"{system.url}/vendors/Hooli" in asked
    run_jobs()
    assert system.requests() == [], "nothing is sent before the confirmation"
    assert confirm(browser, CALL, LOOK).status_code == 302
    test = ended(demo)
    (sent,) = system.requests()
    assert sent["headers"]["authorization"] == f"Bearer {SECRET}"
    assert (test.status, test.action) == ("passed", "look")
    assert len(str(test.response)) < 20_000
    page = browser.get(PAGE).content.decode()
    assert "env: TEST_TOKEN" in page
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page
    assert SECRET not in page
    with unit_of_work(demo.tenant.id):
        kinds = list(Receipt.objects.filter(kind__startswith="integration.test_call").values_list("kind", flat=True))
        assert SECRET not in str(list(Receipt.objects.values_list("body", flat=True)))
    assert kinds == ["integration.test_call_requested", "integration.test_call_ended"]


def test_a_call_with_effects_is_chosen_and_only_while_no_workflow_allows_it(
    demo: Demo, system: Receiver, console: Console
) -> None:
    browser = console("admin")
    assert "may change something" in confirm(browser, CALL, {**ORDER, "accepts_effects": ""}).content.decode()
    assert "A workflow allows pay" in confirm(browser, CALL, {**ORDER, "action": "pay"}).content.decode()
    assert "cannot be undone here" in browser.post(CALL, ORDER).content.decode()
    assert confirm(browser, CALL, ORDER).status_code == 302
    assert ended(demo).status == "passed"
    (sent,) = system.requests()
    assert sent["method"] == "POST"


def test_under_four_eyes_a_call_is_no_way_round_the_second_person(
    demo: Demo, system: Receiver, console: Console
) -> None:
    make_principal(demo.tenant, "second-admin", roles=["tenant_admin"])
    browser = console("admin")
    assert confirm(browser, CALL, ORDER).status_code == 302
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(demo.tenant))
    assert "Under four eyes" in ended(demo).checks[0]["detail"], "asked for before the rule"
    assert "Under four eyes" in confirm(browser, CALL, ORDER).content.decode()
    head = f"kind: Integration\nid: int_test\nspec:\n  connector: http\n  base_url: {system.url}\n"
    drafted = f"{head}  actions:\n    sneak: {{method: GET, path: /}}\n"
    assert confirm(browser, f"{PAGE}new-version/", {"document": drafted}).status_code == 302
    assert confirm(browser, CALL, {"action": "sneak"}).status_code == 422
    assert confirm(browser, CALL, LOOK).status_code == 302
    assert ended(demo).status == "passed"
    assert [sent["path"] for sent in system.requests()] == ["/vendors/Hooli"]


def test_who_may_not_change_the_integration_makes_no_call(demo: Demo, system: Receiver, console: Console) -> None:
    demo.join("rita")
    for name in ("rita", "finance-1"):
        assert console(name).get(CALL).status_code == 403
        assert confirm(console(name), CALL, LOOK).status_code == 422
    demo.join("ivy", roles=("integration_manager",))
    assert "needs actions:execute" in confirm(console("ivy"), CALL, ORDER).content.decode()
    with unit_of_work(demo.tenant.id):
        assert not IntegrationTest.objects.exists()


def test_a_freeze_or_a_new_version_stops_a_call_that_was_asked_for(
    demo: Demo, system: Receiver, console: Console
) -> None:
    browser = console("admin")
    put_mock(demo)
    assert confirm(browser, CALL, LOOK).status_code == 302
    too_many = confirm(browser, f"{MOCK}test-call/", {"action": "pay", "payload": "{vendor: Hooli}"})
    assert "Too many tests" in too_many.content.decode()
    put(demo, system.url, other={"method": "GET", "path": "/"})
    assert ended(demo).checks[0]["detail"] == "The integration has a newer version. Nothing was sent."
    assert confirm(browser, CALL, LOOK).status_code == 302
    freeze = {"scope": {"integration": "int_test"}, "reason": "A test."}
    assert demo.api("admin").post("/freezes", freeze).status_code == 201
    assert ended(demo).checks[0]["detail"] == "The integration is frozen. Nothing was sent."
    assert "is frozen" in confirm(browser, CALL, LOOK).content.decode()
    assert system.requests() == []


def put_mock(demo: Demo) -> None:
    action = {"request": {"vendor": "${item.payload.vendor}"}, "answer": {"status": "accepted"}}
    with unit_of_work(demo.tenant.id):
        upsert_integration(
            "int_mock", {"connector": "mock", "actions": {"pay": action}}, ctx=acting_system(demo.tenant)
        )


def test_a_simulated_call_says_so(demo: Demo, console: Console) -> None:
    put_mock(demo)
    browser = console("admin")
    sent = {"action": "pay", "payload": "{vendor: Hooli}"}
    assert "Simulated: nothing is sent." in browser.post(f"{MOCK}test-call/", sent).content.decode()
    assert confirm(browser, f"{MOCK}test-call/", sent).status_code == 302
    assert ended(demo).response == {"simulated": True, "answer": {"status": "accepted"}}
    assert "simulated: nothing is sent" in browser.get(MOCK).content.decode()
