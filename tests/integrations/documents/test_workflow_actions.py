"""Actions of the `workflow` connector in `kind: Integration` documents."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.documents import IntegrationDocument, WorkflowCall, read_integration
from threada_site.kernel.errors import DocumentInvalid


def workflow(**actions: Any) -> IntegrationDocument:
    return read_integration({"connector": "workflow", "actions": actions})


def test_workflow_actions() -> None:
    rule = {"all": [{"role": "approver", "count": 1}]}
    document = workflow(
        request_approval={"question": "Approve ${item.payload.title}?", "approvals": rule},
        assign={"to": "${input.to}"},
        close={},
    )
    assert (document.base_url, document.auth, document.secret_references) == (None, None, ())
    ask, assign, close = (document.action(slug) for slug in ("request_approval", "assign", "close"))
    assert isinstance(ask.call, WorkflowCall)
    assert (ask.call.operation, ask.call.approvals, ask.resolves, ask.idempotent) == (
        "request_approval",
        rule,
        False,
        True,
    )
    assert isinstance(assign.call, WorkflowCall)
    assert (assign.call.operation, assign.resolves) == ("assign", False)
    assert isinstance(close.call, WorkflowCall)
    assert (close.call.operation, close.resolves) == ("close", True)


@pytest.mark.parametrize(
    ("actions", "pointers"),
    [
        ({"aproval": {}}, ["/spec/actions/aproval"]),
        ({"request_approval": {"question": ""}}, ["/spec/actions/request_approval/question"]),
        ({"request_approval": {"question": "${"}}, ["/spec/actions/request_approval/question"]),
        ({"request_approval": {"approvals": []}}, ["/spec/actions/request_approval/approvals"]),
        ({"request_approval": {"path": "/x"}}, ["/spec/actions/request_approval/path"]),
        ({"assign": {}}, ["/spec/actions/assign/to"]),
        ({"assign": {"to": 7}}, ["/spec/actions/assign/to"]),
        ({"close": {"resolves": False}}, ["/spec/actions/close/resolves"]),
        ({"close": None}, ["/spec/actions/close"]),
    ],
)
def test_workflow_problem_is_named_by_pointer(actions: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        workflow(**actions)
    assert [error.pointer for error in refusal.value.errors] == pointers


def test_workflow_has_no_address() -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        read_integration({"connector": "workflow", "base_url": "http://a.example", "actions": {"close": {}}})
    assert [error.pointer for error in refusal.value.errors] == ["/spec/base_url"]
