"""A rule that exceeds the time budget denies, also as the last rule: at intake, before an action and before its call."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from integrations.models import Execution
from policies.deciding import decide as deciding
from policies.language import rule_tests
from policies.language.evaluation import evaluate
from policies.language.facts import VARIABLES
from tests.console.sign_in import sign_in
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import RULES, Office
from threada_site.kernel.cel import BoundFacts, compile_expression

TEXT = "a" * 100_000
_DIGITS = "[0,1,2,3,4,5,6,7,8,9]"
SLOW = f"{_DIGITS}.all(a, {_DIGITS}.all(b, [0,1,2,3,4].all(c, size(item.payload.vendor) > 0)))"
TOO_SLOW = ["policy_too_slow"]


def slow_rule(when: str, **more: Any) -> dict[str, Any]:
    return {"id": "slow", "when": f"{when} && {SLOW}", "effect": "allow", "reason": "SLOW", **more}


def slow_rules() -> list[dict[str, Any]]:
    """Return rules that exceed the full time budget together, for an evaluator, whose budget no test can shorten.

    It stops within them: each takes 5 to 60 ms.
    """
    return [slow_rule("true", id=f"slow-{number}") for number in range(150)]


@pytest.fixture(autouse=True)
def short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time budget to a quarter of what the slow rule takes on this machine."""
    rule = compile_expression(SLOW, variables=VARIABLES)
    facts = BoundFacts({"item": {"payload": {"vendor": TEXT}}}, variables=VARIABLES)
    began = time.thread_time()
    assert rule.truth(facts)
    limit = (time.thread_time() - began) / 4
    for module in (deciding, rule_tests):
        monkeypatch.setattr(module, "evaluate", lambda entries, facts: evaluate(entries, facts, cpu_limit=limit))


def test_intake_refuses_the_item(office: Office) -> None:
    office.put_rules(*RULES, slow_rule("ctx.point == 'intake'"))
    created = office.api("rita").post(
        "/work-items",
        {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5, "vendor": TEXT}},
    )
    run_jobs()
    item = office.api("rita").get(f"/work-items/{created.json()['work_item_id']}").json()
    assert item["status"] == "refused"


def test_a_request_for_an_action_is_refused(office: Office) -> None:
    office.put_rules(*RULES, slow_rule("ctx.action == 'pay'", at="execute"))
    item = office.decided(payload={"amount": 5, "vendor": TEXT})
    answer = office.api("rita").post(
        "/actions/execute", {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}
    )
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "policy_denied")
    assert [reason["reason"] for reason in answer.json()["reasons"]] == TOO_SLOW
    assert office.count(Execution) == 0


def test_a_button_of_the_console_is_refused(office: Office) -> None:
    office.put_rules(*RULES, slow_rule("ctx.action == 'pay'", at="execute"))
    item = office.decided(payload={"amount": 5, "vendor": TEXT})
    page = reverse("admin:workitems_workitem_execute", args=[item.public_id])
    answer = sign_in(office.people["rita"]).post(page, {"action": "bank/pay"}, follow=True)
    assert "A policy denies this action." in answer.content.decode()
    assert office.count(Execution) == 0


def test_the_check_before_the_call_stops_it(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided(payload={"amount": 5, "vendor": TEXT})).execution
    office.put_rules(*RULES, slow_rule("ctx.action == 'pay'", at="execute"))
    run_jobs()
    assert (office.execution(execution).failure, bank.requests()) == ("policy_denied", [])
    (rechecked,) = office.bodies("policy.rechecked")
    assert rechecked["outcome"] == {"effect": "deny", "reason_codes": TOO_SLOW}


def test_a_simulation_says_so(office: Office) -> None:
    office.put_rules(*RULES, *slow_rules())
    facts = {"item": {"workflow": "payments", "channel": "web", "payload": {"amount": 5, "vendor": TEXT}}}
    answer = office.api("ada").post("/policies/rules/versions/2/simulate", {"facts": facts})
    assert (answer.json()["outcome"], answer.json()["reason_codes"]) == ("deny", TOO_SLOW)


def test_the_tests_of_a_document_fail_in_the_command(office: Office, tmp_path: Path) -> None:
    given = {"item": {"workflow": "payments", "payload": {"amount": 5, "vendor": TEXT}}}
    spec = {"rules": slow_rules(), "tests": [{"given": given, "expect": {"effect": "allow"}}]}
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"kind": "Policy", "id": "rules", "spec": spec}))
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit):
        call_command("policy", "validate", str(file), "--tenant", office.tenant.slug, stdout=out, stderr=err)
    assert "deny policy_too_slow" in out.getvalue() + err.getvalue()
