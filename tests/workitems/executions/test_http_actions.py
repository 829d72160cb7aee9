"""Actions of the `http` connector from the approval to the outcome of the execution, with a real receiver."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from integrations.lifecycle import ExecutionStatus
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office
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
