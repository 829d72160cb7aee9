"""Members `succeeds_when` of an action and `tests` of an integration, in documents of the `http` connector.

actions:
  announce:
    method: POST
    path: /chat.postMessage
    form: {channel: C0123456, text: "${item.payload.text}"}
    succeeds_when: "body.ok == true"
tests:
  - {action: announce, given: {body: {ok: true}}, expect: succeeded}
  - {action: announce, given: {body: {ok: false, error: not_in_channel}}, expect: failed}
  - {action: announce, given: {headers: {content-type: text/html}, body: <html>}, expect: outcome_unknown}

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from integrations.documents.fields import Fields
from integrations.documents.schema import filled_text
from threada_site.kernel.cel import (
    MAX_COST,
    MAX_LENGTH,
    AnyValue,
    ExpressionError,
    Size,
    check_condition,
    paths_of,
    worst_cost,
)
from threada_site.kernel.documents.structure import Schema, closed_object, whole_number

MAX_BODY_BYTES: Final = 64 * 1024
VARIABLES: Final = ("status", "headers", "body")
"""Variables of `succeeds_when`: a number, texts by lower-case name, and the JSON value or text of the body."""
_KINDS: Final[dict[str, Literal["integer", "texts", "any"]]] = {"status": "integer", "headers": "texts", "body": "any"}
_SIZES: Final[dict[str, Size]] = {
    "status": Size(),
    "headers": AnyValue(128 * 1024),  # the transport reads no larger head
    "body": AnyValue(MAX_BODY_BYTES),
}
_MOST_TESTS: Final = 200

SUCCEEDS_WHEN: Final = filled_text(
    "CEL over status, headers (by lower-case name) and body (at most 64 KB). False for an answer of 2xx: the receiver "
    "did not act, and the execution fails. No value: the outcome is unknown. Default: every 2xx is a success.",
    maxLength=MAX_LENGTH,
    examples=["status == 200 && body.ok == true"],
)
TESTS: Final[Schema] = {
    "type": "array",
    "maxItems": _MOST_TESTS,
    "items": closed_object(
        {
            "action": filled_text("Action that gets the answer.", examples=["announce"]),
            "given": closed_object(
                {
                    "status": whole_number(100, 599, default=200, description="Status of the answer."),
                    "headers": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "Headers of the answer. Default: only Content-Type, application/json.",
                        "examples": [{"content-type": "text/html"}],
                    },
                    "body": {
                        "description": "Body of the answer: a JSON value, or text if Content-Type is not JSON. "
                        "Default: no body.",
                        "examples": [{"ok": False, "error": "not_in_channel"}],
                    },
                },
                description="An answer of the receiver.",
            ),
            "expect": {
                "enum": ["succeeded", "failed", "outcome_unknown"],
                "description": "Expected status of the execution if this is the answer to its last attempt.",
            },
        },
        required=("action", "expect"),
        description="A given answer and its outcome.",
    ),
    "description": "Tests of answers, which must pass before a version is stored. Nothing is sent.",
    "errorMessage": f"Write a list of at most {_MOST_TESTS} tests.",
}


@dataclass(frozen=True, slots=True)
class AnswerTest:
    """An answer to an action, and the expected status of the execution. `body` is None if there is none."""

    action: str
    expect: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: Any = None


def read_condition(action: Fields) -> str | None:
    """Return the checked `succeeds_when` of an action, or None if it has none."""
    source: str | None = action.value("succeeds_when")
    if source is None:
        return None
    for problem in check_condition(source, kinds=_KINDS):
        place = action.pointer("succeeds_when")
        action.errors.add(place, problem.message, "expression", line=problem.line, column=problem.column)
        return None
    try:
        cost = worst_cost(source, variables=VARIABLES, sizes=_SIZES)
        named = {path[0] for path in paths_of(source, "headers", variables=VARIABLES) if path}
    except ExpressionError as error:
        action.refuse(error.message, "succeeds_when", code="expression")
        return None
    for name in sorted(named):
        if name != name.lower():
            said = f"The headers have lower-case names here. Write headers[{name.lower()!r}]."
            action.refuse(said, "succeeds_when", code="expression")
            return None
    if cost > MAX_COST:
        said = f"It may cost {cost:,.0f} units; {MAX_COST:,} are allowed. Compare less inside of loops."
        action.refuse(said, "succeeds_when", code="expression")
    return source


def read_answer_tests(spec: Fields) -> tuple[AnswerTest, ...]:
    """Return the tests of an integration."""
    actions = spec.object("actions").names()
    found = []
    for place, written in enumerate(spec.value("tests", [])):
        test = Fields(written, spec.pointer("tests", place), spec.errors)
        given = test.object("given")
        if "action" in test and test.value("action") not in actions:
            test.refuse("action must name an action of this integration.", "action")
        headers = given.object("headers")
        named = {name.lower(): headers.value(name, "") for name in headers.names()}
        found.append(
            AnswerTest(
                action=test.value("action", ""),
                expect=test.value("expect", ""),
                status=given.value("status", 200),
                headers=tuple({"content-type": "application/json", **named}.items()),
                body=given.value("body"),
            )
        )
    return tuple(found)
