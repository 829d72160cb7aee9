"""Input requests: a submission without evidence asks a person for a justification, if the client can ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types

from threada_site.kernel import errors
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.submissions import ARGUMENTS, ASKS, MAY_ASK
from workitems.mcp.tools import Tool

SUBMISSION: Final = "submit_work_item"
_NAME: Final = "justification"
_LONGEST: Final = 1_000
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "justification": {
            "type": "string",
            "title": "Justification",
            "description": "Why is this needed? Reviewers and approvers read it.",
            "maxLength": _LONGEST,
        },
        "source": {
            "type": "string",
            "title": "Source",
            "description": "Document, ticket or address that supports it.",
            "maxLength": _LONGEST,
        },
    },
    "required": ["justification"],
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Answers of a person to earlier questions; `can_ask` is True if the client can put questions to a person."""

    can_ask: bool
    answers: Mapping[str, Any]


def submit(tool: Tool, arguments: dict[str, Any], inputs: Inputs, caller: Caller) -> Answer | types.InputRequiredResult:
    """Call `submit_work_item`. Without evidence, ask for it first, if nobody has been asked and somebody can be."""
    if "evidence" in arguments:
        return tool.call(arguments, caller)
    answer = inputs.answers.get(_NAME)
    if isinstance(answer, types.ElicitResult):
        if answer.action == "cancel":
            return caller.authenticate(errors.InvalidRequest("The person who was asked for evidence has cancelled."))
        with_evidence = {**arguments, **_evidence_in(answer)}
        return tool.call(with_evidence, caller, environment={ARGUMENTS: _without_key(arguments)})
    asked = tool.call(arguments, caller, environment={MAY_ASK: inputs.can_ask})
    if ASKS not in asked.headers:
        return asked
    question = types.ElicitRequestFormParams(
        message="This request has no evidence. State why it is needed; it is stored with the work item.",
        requested_schema=_SCHEMA,
    )
    return types.InputRequiredResult(input_requests={_NAME: types.ElicitRequest(params=question)})


def _evidence_in(answer: types.ElicitResult) -> dict[str, Any]:
    """Return the evidence that a person has given; nothing if the person declined."""
    given = answer.content if answer.action == "accept" and answer.content else {}
    reason, source = (_text(given.get(name)) for name in ("justification", "source"))
    if reason and source:
        return {"evidence": {"citations": [{"source": source, "quote": reason}]}}
    return {"evidence": {"fallback_reason": reason}} if reason else {}


def _text(value: Any) -> str:
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _without_key(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "idempotency_key"}
