"""Outcomes of answers by `succeeds_when`, from a real receiver and from the tests of a document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations.attempts.outcomes import Outcome
from integrations.connectors import HttpConnector
from integrations.connectors.answer_conditions import read_tested
from integrations.documents.success import MAX_BODY_BYTES
from tests.integrations.connectors.test_http import CANARY, PAY, built, terms
from tests.receivers.fixtures import Receiver
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.canonical import canonical_bytes

SUCCEEDED = (None, False)
SAYS_NO = ("rejected_by_receiver", False)
UNKNOWN = ("bad_response", True)
OK = "body.ok == true"
GRAPHQL = "has(body.data) && !has(body.errors)"
HTML = {"body": "<html>ok</html>", "content_type": "text/html"}


def call(receiver: Receiver, condition: str, **behaviour: Any) -> Outcome:
    receiver.behave(**behaviour)
    request = json.loads(canonical_bytes(built(receiver.url, {**PAY, "succeeds_when": condition})))
    return HttpConnector().call(request, terms())


def of_size(size: int, *, ok: bool = True) -> str:
    """Return a body of so many bytes."""
    text = json.dumps({"ok": ok, "pad": ""})
    return text.replace('""', f'"{"x" * (size - len(text))}"')


@pytest.mark.parametrize(
    ("condition", "behaviour", "expected"),
    [
        (OK, {"body": {"ok": True}}, SUCCEEDED),
        (OK, {"body": {"ok": False, "error": "not_in_channel"}}, SAYS_NO),
        (OK, {"body": {"ok": "true"}}, SAYS_NO),
        (OK, {"body": {}}, UNKNOWN),
        (OK, {"body": [1]}, UNKNOWN),
        (OK, {"body": ""}, UNKNOWN),
        (OK, HTML, UNKNOWN),
        (OK, {"body": {"ok": True}, "content_type": "text/plain"}, UNKNOWN),
        (OK, {"body": {"ok": True}, "content_type": "application/vnd.a+json; charset=utf-8"}, SUCCEEDED),
        (OK, {"body": '{"ok": true, "ok": false}'}, UNKNOWN),
        (OK, {"body": '{"ok": true, "n": 12345678901234567890}'}, UNKNOWN),
        (OK, {"body": '{"ok": tru'}, UNKNOWN),
        (OK, {"body": "[" * 1000}, UNKNOWN),
        (OK, {"fault": "gzip", "body": {"ok": False}}, SAYS_NO),
        (OK, {"fault": "truncated"}, UNKNOWN),
        (OK, {"fault": "huge"}, UNKNOWN),
        (OK, {"body": of_size(MAX_BODY_BYTES)}, SUCCEEDED),
        (OK, {"body": of_size(MAX_BODY_BYTES + 1)}, UNKNOWN),
        (OK, {"body": of_size(MAX_BODY_BYTES + 1, ok=False)}, UNKNOWN),
        ("true", {"body": of_size(MAX_BODY_BYTES + 1)}, UNKNOWN),
        ("body.ok", {"body": {"ok": 1}}, UNKNOWN),
        ("body.ok", {"body": {"ok": True}}, SUCCEEDED),
        ("status == 201", {"status": 201}, SUCCEEDED),
        ("status == 201", {"status": 202}, SAYS_NO),
        ("status == 201", {"status": 202, **HTML}, SAYS_NO),
        ("headers['x-result'] == 'done'", {"headers": {"X-Result": "done"}}, SUCCEEDED),
        ("headers['x-result'] == 'done'", {"headers": {"X-Result": "refused"}}, SAYS_NO),
        ("headers['x-result'] == 'done'", {}, UNKNOWN),
        ("body == 'ok'", {"body": "ok", "content_type": "text/html"}, SUCCEEDED),
        ("body == 'ok'", {"body": "no_service", "content_type": "text/html"}, SAYS_NO),
        ("status == 204 || body.ok", {"status": 204, "body": ""}, SUCCEEDED),
        (GRAPHQL, {"body": {"data": {"pay": {"id": 1}}}}, SUCCEEDED),
        (GRAPHQL, {"body": {"errors": [{"message": "no"}], "data": None}}, SAYS_NO),
        (GRAPHQL, {"body": {"errors": [{"message": "no"}]}}, SAYS_NO),
        (GRAPHQL, HTML, UNKNOWN),
        (GRAPHQL, {"body": "[]"}, UNKNOWN),
        (GRAPHQL, {"body": ""}, UNKNOWN),
        ("{'done': true, 'refused': false}[body.state]", {"body": {"state": "done"}}, SUCCEEDED),
        ("{'done': true, 'refused': false}[body.state]", {"body": {"state": "refused"}}, SAYS_NO),
        ("{'done': true, 'refused': false}[body.state]", {"body": {"state": "waits"}}, UNKNOWN),
        ("body.n == 5", {"body": {"n": 5.0}}, SUCCEEDED),
    ],
)
def test_the_receiver_says_whether_it_succeeded(
    receiver: Receiver, condition: str, behaviour: dict[str, Any], expected: tuple[str | None, bool]
) -> None:
    outcome = call(receiver, condition, **behaviour)
    assert (outcome.failure, outcome.ambiguous) == expected
    assert (outcome.detail == "") is (expected is SUCCEEDED)
    assert outcome.response is not None
    assert outcome.response["status"] == behaviour.get("status", 200)
    assert len(receiver.requests()) == 1


@pytest.mark.parametrize("condition", ["true", "false", "body.absent", OK])
@pytest.mark.parametrize("status", [301, 307, 401, 404, 408, 429, 500, 503])
def test_another_status_decides_as_without_a_condition(receiver: Receiver, condition: str, status: int) -> None:
    receiver.behave(status=status, body={"ok": True})
    without = HttpConnector().call(built(receiver.url), terms())
    judged = call(receiver, condition, status=status, body={"ok": True})
    assert not judged.succeeded
    assert (judged.failure, judged.ambiguous, judged.detail) == (without.failure, without.ambiguous, without.detail)


def test_secret_that_an_answer_echoes_is_not_in_the_error_of_the_condition(receiver: Receiver) -> None:
    outcome = call(receiver, "int(body.echo) == 1", body={"echo": f"Bearer {CANARY}"})
    assert (outcome.failure, outcome.ambiguous) == UNKNOWN
    assert "has no value for this answer" in outcome.detail
    assert "canary" not in outcome.detail + json.dumps(outcome.response)


def test_condition_that_costs_too_much_for_an_answer_gives_no_success(receiver: Receiver) -> None:
    costly = "body.a.all(x, body.a.all(y, x != 0 || y != 0 || body.a != body.b))"
    request = {**built(receiver.url), "succeeds_when": costly}
    receiver.behave(body={"a": list(range(5000)), "b": list(range(5000))})
    outcome = HttpConnector().call(request, terms())
    assert (outcome.failure, outcome.ambiguous) == UNKNOWN


def test_condition_that_does_not_compile_any_more_sends_nothing(receiver: Receiver) -> None:
    outcome = HttpConnector().call({**built(receiver.url), "succeeds_when": "body.("}, terms())
    assert (outcome.failure, outcome.ambiguous) == ("envelope_mismatch", False)
    assert receiver.requests() == []


def test_condition_is_part_of_the_envelope() -> None:
    request = built("https://bank.example", {**PAY, "succeeds_when": OK})
    assert request == {**built("https://bank.example"), "succeeds_when": OK}


def test_tests_of_a_document_try_given_answers() -> None:
    text = {"content-type": "text/plain"}
    given: list[tuple[dict[str, Any], str]] = [
        ({"body": {"ok": True}}, "succeeded"),
        ({"body": {"ok": False}}, "failed"),
        ({"body": {}}, "outcome_unknown"),
        ({}, "outcome_unknown"),
        ({"status": 404, "body": {"ok": True}}, "failed"),
        ({"status": 429}, "failed"),
        ({"status": 500, "body": {"ok": True}}, "outcome_unknown"),
        ({"headers": text, "body": "ok"}, "outcome_unknown"),
        ({"headers": {"Content-Type": "application/json"}, "body": "ok"}, "outcome_unknown"),
    ]
    tests = [{"action": "pay", "given": answer, "expect": expected} for answer, expected in given]
    tests += [{"action": "plain", "given": {"body": {"ok": False}}, "expect": "succeeded"}]
    tests += [{"action": "text", "given": {"headers": text, "body": "ok"}, "expect": "succeeded"}]
    plain = {"method": "POST", "path": "/x"}
    actions = {
        "pay": {**plain, "succeeds_when": OK},
        "plain": plain,
        "text": {**plain, "succeeds_when": "body == 'ok'"},
    }
    spec = {"connector": "http", "base_url": "https://a.example", "actions": actions, "tests": tests}
    assert read_tested(spec).actions
    for test in tests:
        test["expect"] = "failed" if test["expect"] == "succeeded" else "succeeded"
    with pytest.raises(DocumentInvalid) as refused:
        read_tested(spec)
    failed = refused.value.errors
    assert [error.pointer for error in failed] == [f"/spec/tests/{place}" for place in range(len(tests))]
    assert {error.code for error in failed} == {"test_failed"}
    assert failed[1].detail == (
        "Expected succeeded, and the answer gives failed. "
        "The receiver answered 200, and the answer states a failure: succeeds_when is false."
    )
