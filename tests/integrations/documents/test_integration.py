"""`kind: Integration` documents and their problems by JSON pointer."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from integrations.attempts.retry import RetryPolicy
from integrations.documents import Authentication, HttpCall, read_integration
from integrations.secrets.references import SecretReference
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid, UnknownAction
from threada_site.kernel.json.canonical import canonical_sha256

BANK = """
connector: http
base_url: https://Bank.example:8443/api/
idempotent: true
auth: {scheme: bearer, secret: {env: BANK_TOKEN}}
timeout: PT20S
retry: {attempts: 3, backoff: 0.5, max_backoff: PT1M}
actions:
  pay:
    method: POST
    path: "/accounts/${item.payload.account}/payments"
    query: {dry_run: false, note: "${input.note}"}
    headers: {X-Reason: "for ${ctx.action}"}
    body: {vendor: "${item.payload.vendor}", amount_minor: "${item.payload.amount_minor}"}
    input_schema: {type: object, required: [note], properties: {note: {type: string, maxLength: 5}}}
    resolves: true
    undo: refund
  refund:
    method: DELETE
    path: /payments
    timeout: 2.5
    idempotent: false
    retry: {attempts: 1}
"""


OAUTH2 = {
    "scheme": "oauth2",
    "token_url": "https://login.example/token",
    "client_id": "threada",
    "client_secret": {"env": "A"},
}
OF_OAUTH2 = ["/spec/auth/client_id", "/spec/auth/client_secret"]
OF_MTLS = ["/spec/auth/secret", "/spec/auth/certificate", "/spec/auth/private_key"]


def spec(text: str = BANK, **changes: Any) -> dict[str, Any]:
    (document,) = load_documents(text, source="bank.yaml")
    return {**document.value, **changes}


def with_pay(**changes: Any) -> dict[str, Any]:
    whole = copy.deepcopy(spec())
    whole["actions"]["pay"].update(changes)
    return whole


def problems(value: Any) -> dict[str, str]:
    with pytest.raises(DocumentInvalid) as refusal:
        read_integration(value)
    return {error.pointer: error.detail for error in refusal.value.errors}


def test_whole_document() -> None:
    bank = read_integration(spec())
    assert (bank.connector, bank.base_url) == ("http", "https://bank.example:8443/api")
    assert bank.origin is not None
    assert bank.origin.origin == ("https", "bank.example", 8443)
    assert bank.auth == Authentication("bearer", SecretReference("env", "BANK_TOKEN"))
    assert [str(reference) for reference in bank.secret_references] == ["env:BANK_TOKEN"]
    pay, refund = bank.action("pay"), bank.action("refund")
    assert (pay.idempotent, pay.timeout_s, pay.resolves, pay.undo) == (True, 20.0, True, "refund")
    assert pay.retry == RetryPolicy(attempts=3, backoff_s=0.5, max_backoff_s=60.0)
    assert pay.sha256 == canonical_sha256(spec()["actions"]["pay"])
    assert (refund.idempotent, refund.timeout_s, refund.resolves, refund.undo) == (False, 2.5, False, None)
    assert refund.retry == RetryPolicy(attempts=1, backoff_s=0.5, max_backoff_s=60.0)
    assert isinstance(pay.call, HttpCall)
    assert (pay.call.method, [name for name, _ in pay.call.query]) == ("POST", ["dry_run", "note"])
    assert isinstance(refund.call, HttpCall)
    assert refund.call.body is None


def test_smallest_document_has_careful_defaults() -> None:
    action = read_integration(
        {"connector": "http", "base_url": "http://a.example", "actions": {"go": {"method": "GET", "path": "/"}}}
    ).action("go")
    assert (action.idempotent, action.timeout_s, action.retry) == (False, 10.0, RetryPolicy())
    assert (action.resolves, action.undo, action.input_schema) == (False, None, None)


def test_documents_are_frozen() -> None:
    bank = read_integration(spec())
    with pytest.raises(dataclasses.FrozenInstanceError):
        bank.base_url = "https://evil.example"  # type: ignore[misc]


def test_body_of_null_is_a_body() -> None:
    call = read_integration(with_pay(body=None)).action("pay").call
    assert isinstance(call, HttpCall)
    assert call.body is not None


def test_unknown_action_lists_the_existing_ones() -> None:
    with pytest.raises(UnknownAction, match="pay, refund"):
        read_integration(spec()).action("pya")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(1, 1.0), (0.25, 0.25), ("PT30S", 30.0), ("PT1M30S", 90.0), ("PT0.5S", 0.5), ("PT5M", 300.0)],
)
def test_timeout(written: Any, seconds: float) -> None:
    assert read_integration(with_pay(timeout=written)).action("pay").timeout_s == seconds


@pytest.mark.parametrize(
    "written", [0, -1, 301, True, None, "30", "30s", "PT", "P", "PT-1S", "P1Y", "PT10M", "", [], "PT1,5S"]
)
def test_timeout_out_of_range_or_shape(written: Any) -> None:
    assert list(problems(with_pay(timeout=written))) == ["/spec/actions/pay/timeout"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://bank.example", "bank.example", "//bank.example", "https://", "https:///x", "https://user@bank.example",
        "https://user:secret-canary@bank.example", "https://bank.example?x=1", "https://bank.example/#x",
        "https://bank.example/a b", "https://bank.example/..", "https://bank.example/%2E%2e/x", "https://bank..example",
        "https://127.1", "https://2130706433", "https://bücher.example", "https://bank.example:99999", "", 7, None,
        "https://bank.example\\@evil.example", "https://[::1", "https://bank.example\n",
    ],
)  # fmt: skip
def test_base_url_that_is_not_plain(url: Any) -> None:
    found = problems(spec(base_url=url))
    assert list(found) == ["/spec/base_url"]
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("auth", "pointers"),
    [
        ("token", ["/spec/auth"]),
        ({}, ["/spec/auth/scheme", "/spec/auth/secret"]),
        ({"scheme": "digest", "secret": {"env": "A"}}, ["/spec/auth/scheme"]),
        ({"scheme": "bearer", "secret": "canary"}, ["/spec/auth/secret"]),
        ({"scheme": "bearer", "secret": {"value": "canary"}}, ["/spec/auth/secret"]),
        ({"scheme": "bearer", "secret": {"env": "A"}, "username": "u"}, ["/spec/auth/username"]),
        ({"scheme": "basic", "secret": {"env": "A"}}, ["/spec/auth/username"]),
        ({"scheme": "basic", "secret": {"env": "A"}, "username": "a:b"}, ["/spec/auth/username"]),
        ({"scheme": "bearer", "secret": {"env": "A"}, "token": "canary"}, ["/spec/auth/token"]),
        ({"scheme": "bearer", "secret": {"env": "A"}, "name": "X-Api-Key"}, ["/spec/auth/name"]),
        ({"scheme": "mtls", "secret": {"env": "A"}}, OF_MTLS),
        ({"scheme": "mtls", "certificate": "canary", "private_key": {"env": "A"}}, ["/spec/auth/certificate"]),
        ({"scheme": "mtls", "certificate": {"env": "A"}, "private_key": {"pem": "canary"}}, ["/spec/auth/private_key"]),
        ({"scheme": "bearer", "secret": {"env": "A"}, "private_key": {"env": "B"}}, ["/spec/auth/private_key"]),
        ({**OAUTH2, "client_secret": "canary"}, ["/spec/auth/client_secret"]),
        ({**OAUTH2, "client_secret": {"value": "canary"}}, ["/spec/auth/client_secret"]),
        ({**OAUTH2, "secret": {"env": "B"}}, ["/spec/auth/secret"]),
        ({**OAUTH2, "client_auth": "private_key_jwt"}, ["/spec/auth/client_auth"]),
        ({**OAUTH2, "client_id": "a\nb"}, ["/spec/auth/client_id"]),
        ({**OAUTH2, "scopes": ["a b"]}, ["/spec/auth/scopes/0"]),
        ({**OAUTH2, "scopes": "payments"}, ["/spec/auth/scopes"]),
        ({**OAUTH2, "token_url": "https://u:canary@login.example/"}, ["/spec/auth/token_url"]),
        ({**OAUTH2, "token_url": "file:///etc/passwd"}, ["/spec/auth/token_url"]),
        ({"scheme": "oauth2", "token_url": "https://login.example"}, OF_OAUTH2),
        ({"scheme": "bearer", "secret": {"env": "A"}, "scopes": ["a"]}, ["/spec/auth/scopes"]),
        ({"scheme": "header", "secret": {"env": "A"}}, ["/spec/auth/name"]),
        ({"scheme": "header", "secret": {"env": "A"}, "name": ""}, ["/spec/auth/name"]),
        ({"scheme": "header", "secret": {"env": "A"}, "name": "X Y"}, ["/spec/auth/name"]),
        ({"scheme": "header", "secret": {"env": "A"}, "name": "X-Key\r\nX-Evil"}, ["/spec/auth/name"]),
        ({"scheme": "header", "secret": {"env": "A"}, "name": "X" * 101}, ["/spec/auth/name"]),
        ({"scheme": "header", "name": "X-Api-Key", "secret": "canary"}, ["/spec/auth/secret"]),
        ({"scheme": "header", "name": "X-Api-Key", "secret": {"env": "A"}, "username": "u"}, ["/spec/auth/username"]),
    ],
)
def test_auth(auth: Any, pointers: list[str]) -> None:
    found = problems(spec(auth=auth))
    assert list(found) == pointers
    assert "canary" not in str(found)


def test_the_secret_of_a_client_is_sent_to_the_token_endpoint() -> None:
    bank = read_integration(spec(auth={**OAUTH2, "scopes": ["payments"]}))
    assert bank.auth is not None
    assert bank.auth.as_json() == {**OAUTH2, "scopes": ["payments"], "client_auth": "basic"}
    (reference,) = bank.sent_references
    assert (bank.address_of(reference), bank.sent_to) == (OAUTH2["token_url"], "https://bank.example:8443/api")
    other = SecretReference("env", "OTHER")
    assert bank.address_of(other) == bank.sent_to


@pytest.mark.parametrize("connector", ["http", "mcp"])
def test_a_certificate_needs_tls(connector: str) -> None:
    auth = {"scheme": "mtls", "certificate": {"stored": "cert"}, "private_key": {"file": "/run/key.pem"}}
    action = {"method": "GET", "path": "/"} if connector == "http" else {}
    written = {"connector": connector, "base_url": "https://bank.example", "auth": auth, "actions": {"go": action}}
    read = read_integration(written)
    assert read.auth is not None
    assert read.auth.as_json() == auth
    assert [str(reference) for reference in read.sent_references] == ["stored:cert", "file:/run/key.pem"]
    assert problems({**written, "base_url": "http://bank.example"}) == {
        "/spec/auth/scheme": "A client certificate needs TLS. Write a base_url with https."
    }


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Idempotency-Key", "Cookie", "User-Agent",
        "Proxy-Authorization", "traceparent", "Threada-Callback-Url", "Content-Type", "Accept", "MCP-Protocol-Version",
        "Mcp-Session-Id",
    ],
)  # fmt: skip
def test_a_header_that_threada_sets_does_not_authenticate(name: str) -> None:
    found = problems(spec(auth={"scheme": "header", "name": name, "secret": {"env": "A"}}))
    assert list(found) == ["/spec/auth/name"]
    assert "Name another header" in found["/spec/auth/name"]


def test_a_key_is_sent_in_a_header_of_its_own() -> None:
    auth = {"scheme": "header", "name": "X-Reason", "secret": {"stored": "bank_key"}}
    assert problems(spec(auth=auth)) == {
        "/spec/actions/pay/headers/X-Reason": "X-Reason is set by Threada itself. Write authentication under auth."
    }
    bank = read_integration(spec(auth={**auth, "name": "X-Api-Key"}))
    assert bank.auth == Authentication("header", SecretReference("stored", "bank_key"), name="X-Api-Key")
    assert bank.auth.as_json() == {**auth, "name": "X-Api-Key"}
    assert [str(reference) for reference in bank.sent_references] == ["stored:bank_key"]


@pytest.mark.parametrize(
    ("changes", "pointer", "said"),
    [
        ({"method": "post"}, "/method", "Did you mean POST?"),
        ({"method": "TRACE"}, "/method", "Use one of DELETE, GET"),
        ({"method": "GET"}, "/body", "not sent with GET"),
        ({"path": "payments"}, "/path", "must begin with /"),
        ({"path": "${item.id}"}, "/path", "must begin with /"),
        ({"path": "/a?b=c"}, "/path", "under query"),
        ({"path": "/a#b"}, "/path", "URL"),
        ({"path": "/a b"}, "/path", "percent-encoded"),
        ({"path": "/a/../b"}, "/path", "segments"),
        ({"path": "/a/%2e%2E/b"}, "/path", "segments"),
        ({"path": "//evil.example/${item.id}\\"}, "/path", "percent-encoded"),
        ({"path": "/a/${"}, "/path", "never closed"),
        ({"path": 7}, "/path", "text"),
        ({"query": []}, "/query", "object"),
        ({"query": {"a": [1]}}, "/query/a", "one ${"),
        ({"query": {"a": None}}, "/query/a", "one ${"),
        ({"query": {"a": "x${item.id}"}}, "/query/a", "Make the whole string one"),
        ({"headers": {"Host": "evil"}}, "/headers/Host", "set by Threada"),
        ({"headers": {"authorization": "Bearer x"}}, "/headers/authorization", "under auth"),
        ({"headers": {"Idempotency-Key": "x"}}, "/headers/Idempotency-Key", "set by Threada"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "/headers/Transfer-Encoding", "set by Threada"),
        ({"headers": {"X Y": "z"}}, "/headers/X Y", "not a header name"),
        ({"headers": {"X": 7}}, "/headers/X", "Quote it"),
        ({"headers": {"X": "a\nb"}}, "/headers/X", "control characters"),
        ({"headers": {"X": "1", "x": "2"}}, "/headers/x", "twice"),
        ({"headers": {"X": "${"}}, "/headers/X", "never closed"),
        ({"body": {"a": [{"b": "${item.}"}]}}, "/body/a/0/b", "Syntax error"),
        ({"body": {"a": "x ${item.id}"}}, "/body/a", "Make the whole string one"),
        ({"form": {"a": "b"}}, "/form", "Write body or form, not both."),
        ({"input_schema": {"type": "nonsense"}}, "/input_schema", "not a JSON Schema"),
        ({"input_schema": {"$ref": "http://127.0.0.1:9/x"}}, "/input_schema", "not a JSON Schema"),
        ({"input_schema": {"$ref": "file:///etc/passwd"}}, "/input_schema", "not a JSON Schema"),
        ({"input_schema": 7}, "/input_schema", "not a JSON Schema"),
        ({"input_schema": {"pattern": "(?=a)"}}, "/input_schema", "not a JSON Schema"),
        ({"input_schema": {"pattern": "[ab]*a[ab]{60000}c"}}, "/input_schema", "not a JSON Schema"),
        (
            {"input_schema": {"allOf": [{"pattern": f"[ab]*a[ab]{{300}}{number}"} for number in range(100)]}},
            "/input_schema",
            "too large together",
        ),
        (
            {"input_schema": {"patternProperties": {f"[ab]*a[ab]{{300}}{number}": {} for number in range(100)}}},
            "/input_schema",
            "too large together",
        ),
        ({"resolves": "yes"}, "/resolves", "true or false"),
        ({"idempotent": 1}, "/idempotent", "true or false"),
        ({"undo": "pay"}, "/undo", "another action"),
        ({"undo": "absent"}, "/undo", "another action"),
        ({"retry": {"attempts": 0}}, "/retry/attempts", "1 to 20"),
        ({"retry": {"attempts": 2.5}}, "/retry/attempts", "1 to 20"),
        ({"retry": {"atempts": 2}}, "/retry/atempts", "Did you mean attempts?"),
        ({"retry": 3}, "/retry", "object"),
        ({"pathh": "/x"}, "/pathh", "Did you mean path?"),
        ({"wholly_other": 1}, "/wholly_other", "Use one of idempotent, timeout, retry"),
    ],
)
def test_action_problem_is_named_by_pointer(changes: dict[str, Any], pointer: str, said: str) -> None:
    found = problems(with_pay(**changes))
    assert list(found) == [f"/spec/actions/pay{pointer}"]
    assert said in found[f"/spec/actions/pay{pointer}"]


@pytest.mark.parametrize(
    ("changes", "pointer", "said"),
    [
        ({"form": {}}, "/form", "at least one"),
        ({"form": []}, "/form", "by name"),
        ({"form": {"": "b"}}, "/form/", "a name"),
        ({"form": {"a": None}}, "/form/a", "one ${"),
        ({"form": {"a": {"b": 1}}}, "/form/a", "one ${"),
        ({"form": {"a": ["b", [1]]}}, "/form/a/1", "one ${"),
        ({"form": {"a": "x${item.id}"}}, "/form/a", "Make the whole string one"),
        ({"form": {"a": ["${"]}}, "/form/a/0", "never closed"),
        ({"form": {"${item.id}": "a"}}, "/form", "Keys are literal"),
        ({"form": {"a": "b"}, "file": "${item.payload.invoice}"}, "/file", "Write form or file, not both."),
        ({"form": {"a": "b"}, "multipart": [{"name": "a", "value": "b"}]}, "/multipart", "Write form or multipart"),
        ({"form": {"a": "b"}, "headers": {"content-type": "text/plain"}}, "/headers", "Remove Content-Type"),
        ({"form": {"a": "b"}, "method": "GET"}, "/form", "not sent with GET"),
    ],
)
def test_form_problem_is_named_by_pointer(changes: dict[str, Any], pointer: str, said: str) -> None:
    whole = with_pay(**changes)
    del whole["actions"]["pay"]["body"]
    found = problems(whole)
    assert list(found) == [f"/spec/actions/pay{pointer}"]
    assert said in found[f"/spec/actions/pay{pointer}"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("body.ok ==", "Syntax error"),
        ("response.ok", "undeclared reference"),
        ("item.payload.ok", "undeclared reference"),
        ("status == '200'", "no matching overload"),
        ("headers.location == 7", "no matching overload"),
        ("status.code == 1", "select operation"),
        ("status", "must say true or false"),
        ("headers['X-Result'] == 'done'", "headers['x-result']"),
        ("has(headers.Location) && headers.Location != ''", "headers['location']"),
        ("'ETag' in headers", "headers['etag']"),
        ("1 + 1", "must say true or false"),
        ("body.text.matches('a')", "not available"),
        ("body.a.all(x, x.b.all(y, y.c.contains('abcdef')))", "units"),
        ("", "succeeds_when"),
        ("x" * 4097, ""),
        (True, "text"),
    ],
)
def test_condition_that_cannot_judge_answers(source: Any, said: str) -> None:
    found = problems(with_pay(succeeds_when=source))
    assert list(found) == ["/spec/actions/pay/succeeds_when"]
    assert said in found["/spec/actions/pay/succeeds_when"]


@pytest.mark.parametrize(
    "source",
    [
        "status == 200.0 || status == 201",
        "headers['x-result'] != '' && has(body.data) && !has(body.errors)",
        "body == null || body == 'ok' || body.errors.all(error, error.code == 3)",
        "body.ok",
        "true",
    ],
)
def test_condition_that_can_judge_answers(source: str) -> None:
    call = read_integration(with_pay(succeeds_when=source)).action("pay").call
    assert isinstance(call, HttpCall)
    assert call.succeeds_when == source


def test_problem_of_a_condition_has_its_place() -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        read_integration(with_pay(succeeds_when="status == 200 &&\n  headers.a == 7"))
    (error,) = refusal.value.errors
    assert (error.line, error.column) == (2, 13)


@pytest.mark.parametrize(
    ("tests", "pointer"),
    [
        ({}, "/tests"),
        ([{"action": "pya", "expect": "succeeded"}], "/tests/0/action"),
        ([{"expect": "succeeded"}], "/tests/0/action"),
        ([{"action": "pay"}], "/tests/0/expect"),
        ([{"action": "pay", "expect": "ok"}], "/tests/0/expect"),
        ([{"action": "pay", "expect": "failed", "given": {"status": 600}}], "/tests/0/given/status"),
        ([{"action": "pay", "expect": "failed", "given": {"headers": {"a": 1}}}], "/tests/0/given/headers/a"),
        ([{"action": "pay", "expect": "failed", "given": {"boddy": 1}}], "/tests/0/given/boddy"),
    ],
)
def test_answer_test_problem_is_named_by_pointer(tests: Any, pointer: str) -> None:
    assert list(problems(spec(tests=tests))) == [f"/spec{pointer}"]


def test_all_problems_come_at_once() -> None:
    found = problems(
        {
            "connector": "http",
            "base_url": "ftp://x",
            "idempotnt": True,
            "timeout": "soon",
            "actions": {"Pay Now": {}, "pay": {"method": "POST"}, "go": 7},
        }
    )
    assert set(found) == {
        "/spec/base_url",
        "/spec/idempotnt",
        "/spec/timeout",
        "/spec/actions/Pay Now",
        "/spec/actions/pay/path",
        "/spec/actions/go",
    }
    assert found["/spec/idempotnt"] == "There is no field 'idempotnt' here. Did you mean idempotent?"


@pytest.mark.parametrize("value", [None, [], "http", 7, {"a": float("nan")}, {1: 2}, {"a": "\ud800"}])
def test_invalid_document(value: Any) -> None:
    assert problems(value)


def test_connector_and_actions_are_required() -> None:
    assert list(problems({})) == ["/spec/connector"]
    assert problems({"connector": "htp"})["/spec/connector"].endswith("Did you mean http?")
    nothing: list[Any] = [{}, None, []]
    for actions in nothing:
        assert list(problems(spec(actions=actions))) == ["/spec/actions"]


def test_pointer_of_the_surrounding_document_is_kept() -> None:
    with pytest.raises(DocumentInvalid) as refusal:
        read_integration({}, pointer="")
    assert [error.pointer for error in refusal.value.errors] == ["/connector"]


def test_large_document_is_read() -> None:
    body = {f"field_{n}": "x" * 1000 for n in range(3000)}
    assert read_integration(with_pay(body=body)).action("pay").call


def test_an_action_may_be_answered_later() -> None:
    whole = {**with_pay(completes="callback", callback_within="PT2H"), "callback_secrets": [{"env": "A"}, {"env": "B"}]}
    bank = read_integration(whole)
    assert (bank.action("pay").waits_for_callback_s, bank.action("refund").waits_for_callback_s) == (7200.0, None)
    assert [str(reference) for reference in bank.secret_references] == ["env:BANK_TOKEN", "env:A", "env:B"]
    assert read_integration(with_pay(completes="answer")).action("pay").waits_for_callback_s is None
    assert problems(with_pay(completes="callback")) == {
        "/spec/callback_secrets": "callback_secrets is required where an action completes by callback."
    }
    assert list(problems(with_pay(completes="later"))) == ["/spec/actions/pay/completes"]
    assert list(problems({**whole, "callback_secrets": []})) == ["/spec/callback_secrets"]
