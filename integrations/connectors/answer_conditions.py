"""Judgement of answers by `succeeds_when` of an action, and the tests of a document with given answers.

| `succeeds_when` for an answer of 2xx | outcome |
|---|---|
| true | succeeded |
| false | `rejected_by_receiver`: the receiver states that it has not acted |
| no value; a body above 64 KB, or one that is no I-JSON | `bad_response`, ambiguous |

The status decides about all other answers. Imports no Django.
"""

from __future__ import annotations

from typing import Any

from integrations.attempts.failures import FailureClass, envelope_mismatch
from integrations.attempts.outcomes import Outcome
from integrations.connectors.exchange import Judge, outcome_by
from integrations.connectors.response_outcomes import says_json
from integrations.documents import IntegrationDocument, read_integration
from integrations.documents.model import HttpCall
from integrations.documents.success import MAX_BODY_BYTES, VARIABLES, AnswerTest
from integrations.transport import OutboundAnswer
from threada_site.kernel import clock
from threada_site.kernel.cel import ExpressionError, compile_expression
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable, MalformedJson
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.json.strict import parse_json


def judge_by(source: str | None) -> Judge | None:
    """Return the judge for a `succeeds_when`, or None if there is none. Raises `TransportFailure`: nothing is sent."""
    if source is None:
        return None
    try:
        expression = compile_expression(source, variables=VARIABLES)
    except ExpressionError as error:
        raise envelope_mismatch(f"succeeds_when cannot be evaluated: {error.message}") from None

    def judge(answer: OutboundAnswer) -> tuple[OutboundAnswer, Outcome | None]:
        said = f"The receiver answered {answer.status}"
        if len(answer.body) > MAX_BODY_BYTES:
            return answer, _unknown(f"{said} with more than {MAX_BODY_BYTES} bytes, which succeeds_when does not read.")
        try:
            holds = expression.truth(_facts(answer))
        except ExpressionError as error:
            return answer, _unknown(f"{said}, and succeeds_when has no value for this answer: {error.message}")
        except (JsonNotInteroperable, MalformedJson) as error:
            return answer, _unknown(f"{said}, and succeeds_when cannot read the body: {error.detail}")
        if holds:
            return answer, None
        detail = f"{said}, and the answer states a failure: succeeds_when is false."
        return answer, Outcome(failure=FailureClass.REJECTED_BY_RECEIVER, detail=detail)

    return judge


def read_tested(spec: Any, *, pointer: str = "/spec") -> IntegrationDocument:
    """Return the integration described by `spec`. Raises `DocumentInvalid`, also if its tests fail."""
    document = read_integration(spec, pointer=pointer)
    if failed := _failed_tests(document, pointer):
        raise DocumentInvalid(errors=failed)
    return document


def _failed_tests(document: IntegrationDocument, pointer: str) -> list[FieldError]:
    tests = document.settings if document.connector == "http" else ()
    failed = []
    for place, test in enumerate(tests or ()):
        outcome = _outcome_of(test, document)
        found = "succeeded" if outcome.succeeded else "outcome_unknown" if outcome.ambiguous else "failed"
        if found != test.expect:
            detail = f"Expected {test.expect}, and the answer gives {found}. {outcome.detail}".rstrip()
            failed.append(FieldError(pointer_to(pointer, "tests", place), detail, "test_failed"))
    return failed


def _outcome_of(test: AnswerTest, document: IntegrationDocument) -> Outcome:
    is_text = isinstance(test.body, str) and not says_json(dict(test.headers)["content-type"])
    body = b"" if test.body is None else test.body.encode() if is_text else canonical_bytes(test.body)
    call = document.action(test.action).call
    judge = judge_by(call.succeeds_when if isinstance(call, HttpCall) else None)
    return outcome_by(judge, OutboundAnswer(test.status, test.headers, body, 0.0), now=clock.now())


def _unknown(detail: str) -> Outcome:
    return Outcome(failure=FailureClass.BAD_RESPONSE, ambiguous=True, detail=detail)


def _facts(answer: OutboundAnswer) -> dict[str, Any]:
    """Return the variables. The body is None if it is empty, its JSON value if its type is JSON, else text.

    Raises `MalformedJson` and `JsonNotInteroperable`.
    """
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raw = answer.body.removeprefix(b"\xef\xbb\xbf")
    body: Any = None
    if raw.strip():
        is_json = says_json(answer.header("content-type") or "")
        body = parse_json(raw) if is_json else raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return {"status": answer.status, "headers": headers, "body": body}
