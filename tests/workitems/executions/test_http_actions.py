"""Actions of the `http` connector from the approval to the outcome of the execution, with a real receiver."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from integrations.connectors.answer_conditions import read_tested
from integrations.lifecycle import ExecutionStatus
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid
from workitems.admin.sent import what_is_sent

pytestmark = pytest.mark.django_db

POST: dict[str, Any] = {"method": "POST", "path": "/chat.postMessage", "resolves": True}


def paid(office: Office, bank: Receiver, **action: Any) -> Any:
    """Let two people approve a call with this action. Return its envelope and the execution as it ended."""
    office.put_bank(base_url=bank.url, actions={**BANK["actions"], "pay": {**POST, **action}})
    _, step, execution = office.awaiting()
    for name in ("fay", "finn"):
        office.vote(step, name)
    run_jobs()
    ended = office.execution(execution)
    return orjson.loads(bytes(ended.envelope.body)), ended


def test_the_form_that_was_approved_is_sent_byte_for_byte(office: Office, bank: Receiver) -> None:
    form = {"text": "${item.workflow == '' ? '' : 'Zahlung über & mehr'}", "amount": "${item.payload.amount}"}
    envelope, ended = paid(office, bank, form=form)
    assert ended.status == ExecutionStatus.SUCCEEDED
    (sent,) = bank.requests()
    assert sent["body"] == envelope["request"]["form"] == "amount=500&text=Zahlung+%C3%BCber+%26+mehr"
    shown = what_is_sent(envelope)
    assert shown is not None
    assert list(shown)[:5] == ["action", "integration", "method", "url", "form"]
    assert shown["form"] == {"amount": "500", "text": "Zahlung über & mehr"}


@pytest.mark.parametrize("idempotent", [False, True])
def test_an_answer_that_states_a_failure_fails_the_execution_and_is_not_repeated(
    office: Office, bank: Receiver, idempotent: bool
) -> None:
    bank.behave(body={"ok": False, "error": "not_in_channel"})
    envelope, ended = paid(office, bank, succeeds_when="body.ok == true", idempotent=idempotent)
    assert envelope["request"]["succeeds_when"] == "body.ok == true"
    assert (ended.status, ended.failure) == (ExecutionStatus.FAILED, "rejected_by_receiver")
    assert ended.result["body"] == {"ok": False, "error": "not_in_channel"}
    assert ended.is_repeatable
    assert len(bank.requests()) == 1
    (receipt,) = office.bodies("execution.failed")
    assert receipt["outcome"]["failure"] == "rejected_by_receiver"
    assert office.item_of(ended).status == "failed"


@pytest.mark.parametrize("body", [{"message": "accepted"}, {"ok": True, "pad": "x" * 65536}])
def test_an_answer_that_cannot_be_judged_is_unknown(office: Office, bank: Receiver, body: dict[str, Any]) -> None:
    bank.behave(body=body)
    _, ended = paid(office, bank, succeeds_when="body.ok == true", idempotent=False)
    assert (ended.status, ended.failure) == (ExecutionStatus.OUTCOME_UNKNOWN, "bad_response")
    assert not ended.is_repeatable
    assert len(bank.requests()) == 1
    assert office.item_of(ended).status != "resolved"


def test_an_answer_that_states_success_resolves_the_item(office: Office, bank: Receiver) -> None:
    _, ended = paid(office, bank, succeeds_when="body.ok == true")
    assert ended.status == ExecutionStatus.SUCCEEDED
    assert office.item_of(ended).status == "resolved"


def test_an_integration_whose_tests_fail_is_not_stored(office: Office, bank: Receiver) -> None:
    action = {"pay": {**POST, "succeeds_when": "body.ok == true"}}
    tests = [{"action": "pay", "given": {"body": {"ok": False}}, "expect": "succeeded"}]
    with pytest.raises(DocumentInvalid) as refused:
        office.put_bank(base_url=bank.url, actions=action, tests=tests)
    assert [(error.pointer, error.code) for error in refused.value.errors] == [("/spec/tests/0", "test_failed")]
    office.put_bank(base_url=bank.url, actions=action, tests=[{**tests[0], "expect": "failed"}])
    assert bank.requests() == []


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("int_slack", {"ok": True, "ts": "1503435956.000247"}, ExecutionStatus.SUCCEEDED),
        ("int_slack", {"ok": False, "error": "not_in_channel"}, ExecutionStatus.FAILED),
        ("int_slack", {"warning": "missing_charset"}, ExecutionStatus.OUTCOME_UNKNOWN),
        ("int_tickets", {"data": {"createTicket": {"id": "t1"}}}, ExecutionStatus.SUCCEEDED),
        ("int_tickets", {"errors": [{"message": "forbidden"}], "data": None}, ExecutionStatus.FAILED),
        ("int_tickets", {"data": {}}, ExecutionStatus.OUTCOME_UNKNOWN),
    ],
)
def test_documented_integrations(office: Office, bank: Receiver, name: str, answer: Any, expected: str) -> None:
    page = Path("docs/operations/integrations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(kind: .*?)```", page, re.DOTALL)
    documents = {each.value["id"]: each.value for block in blocks for each in load_documents(block, source="page")}
    spec = documents[name]["spec"]
    (action,) = spec["actions"].values()
    read_tested(spec)
    bank.behave(body=answer)
    texts = (
        json.dumps(action).replace("item.payload.text", "item.workflow").replace("item.payload.title", "item.channel")
    )
    action = json.loads(texts)  # the payload of the office has other fields
    _, ended = paid(office, bank, **action, idempotent=False)
    assert ended.status == expected
    assert len(bank.requests(action["path"])) == 1
