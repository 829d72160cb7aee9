"""Parts of the Python client without a server: retries, signatures, types, and the command line."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner
from threada_client import AsyncThreada, SignatureInvalid, Threada, sign_callback, verify_webhook
from threada_client import errors as client_errors
from threada_client.cli.__main__ import threada
from threada_client.cli.exit_codes import exit_code
from threada_client.cli.output import text_of
from threada_client.exchange import Answer, Pause, Request, Steps, answered

from integrations.connectors.standard_webhooks import is_signed, signed_headers, signing_key
from tests.clients.conftest import SOURCES
from threada_site.api.documentation.pages import openapi_schema

SECRET, OTHER = "whsec_" + "A" * 40, "o" * 32
BODY: Final = b'{"status": "succeeded"}'
CREATE: Final = Request("POST", "/work-items", headers={"Idempotency-Key": "one"}, body={})


def problem(status: int, reason_code: str, category: str = "execution", **headers: str) -> Answer:
    body = {"reason_code": reason_code, "category": category, "detail": "Do this.", "correlation_id": "c"}
    return Answer(status, headers, json.dumps(body).encode())


def carried_out(steps: Steps[Answer], *outcomes: Answer | Exception) -> tuple[Answer, list[Request], list[float]]:
    """Answer the requests of an operation with these outcomes. Return the result, the requests and the pauses."""
    sent: list[Request] = []
    pauses: list[float] = []
    waiting = list(outcomes)
    step = next(steps)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = next(steps)
                continue
            sent.append(step)
            outcome = waiting.pop(0)
            step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
    except StopIteration as end:
        assert waiting == []
        return end.value, sent, pauses


def test_retries_send_the_same_key_and_follow_retry_after() -> None:
    lost = client_errors.ConnectionFailed("reset")
    limited = problem(429, "rate_limited", **{"retry-after": "7"})
    running = problem(409, "idempotency_in_flight", "validation", **{"retry-after": "1"})
    done = Answer(201, {}, b"{}")
    answer, sent, pauses = carried_out(answered(CREATE), lost, limited, running, done)
    assert answer is done
    assert [request.headers["Idempotency-Key"] for request in sent] == ["one"] * 4
    assert 0 < pauses[0] < 0.3
    assert pauses[1:] == [7.0, 1.0]


@pytest.mark.parametrize(
    ("request_", "outcomes", "error"),
    [
        (Request("PATCH", "/x", body={}), [client_errors.ConnectionFailed("reset")], client_errors.ConnectionFailed),
        (Request("PATCH", "/x", body={}), [Answer(504, {}, b"<html>")], client_errors.UnexpectedAnswer),
        (Request("PATCH", "/x", body={}), [problem(503, "service_unavailable")], client_errors.ExecutionFailed),
        (Request("GET", "/x", into=Path("x")), [Answer(302, {"location": "/y"}, b"")], client_errors.UnexpectedAnswer),
        (CREATE, [problem(429, "rate_limited", **{"retry-after": "3600"})], client_errors.RateLimited),
        (CREATE, [problem(409, "already_voted", "policy")], client_errors.RefusedByPolicy),
        (CREATE, [problem(503, "audit_unavailable")] * 5, client_errors.ExecutionFailed),
        (CREATE, [problem(418, "of_a_later_version", "of a later version")], client_errors.Refused),
    ],
)
def test_what_is_not_repeated_or_repeated_in_vain_raises(
    request_: Request, outcomes: list[Answer | Exception], error: type[Exception]
) -> None:
    with pytest.raises(error):
        carried_out(answered(request_), *outcomes)


def test_webhooks_of_the_server_are_accepted_with_one_of_several_secrets() -> None:
    now = datetime.now(UTC)
    headers = dict(signed_headers(BODY, message_id="msg_1", at=now, keys=[signing_key(SECRET)]))
    shouted = {name.upper(): value for name, value in headers.items()}
    assert verify_webhook(BODY, shouted, [OTHER, SECRET]) == "msg_1"
    assert verify_webhook(BODY, headers, [SECRET], now=now.timestamp() + 299) == "msg_1"
    wrong: list[tuple[bytes, dict[str, str], dict[str, Any]]] = [
        (BODY + b" ", headers, {}),
        (BODY, {**headers, "webhook-id": "msg_2"}, {}),
        (BODY, {**headers, "webhook-signature": "v1,\N{EM DASH}"}, {}),
        (BODY, {name: value for name, value in headers.items() if name != "webhook-timestamp"}, {}),
        (BODY, {**headers, "webhook-timestamp": "\N{ARABIC-INDIC DIGIT ONE}"}, {}),
        (BODY, headers, {"now": now.timestamp() + 302}),
        (BODY, headers, {"now": now.timestamp() - 302}),
        (BODY, headers, {"now": now.timestamp() + 12, "tolerance_s": 10}),
    ]
    for body, sent, options in wrong:
        with pytest.raises(SignatureInvalid):
            verify_webhook(body, sent, [OTHER, SECRET], **options)
    with pytest.raises(SignatureInvalid):
        verify_webhook(BODY, headers, [OTHER])
    with pytest.raises(ValueError, match="24 bytes"):
        verify_webhook(BODY, headers, ["short"])


def test_the_server_accepts_signed_callbacks() -> None:
    headers = sign_callback(BODY, SECRET, message_id="msg_1")
    keys = [signing_key(OTHER), signing_key(SECRET)]
    assert is_signed(BODY, headers, keys=keys, now=datetime.now(UTC))
    assert not is_signed(BODY, headers, keys=keys[:1], now=datetime.now(UTC))


def types_in(source: str) -> dict[str, dict[str, str]]:
    """Return the fields of each TypedDict with their types, without the names of literals."""
    module = ast.parse(source)
    literals = {ast.unparse(node.targets[0]): node.value for node in module.body if isinstance(node, ast.Assign)}
    return {
        node.name: {
            line.target.id: ast.unparse(literals.get(ast.unparse(line.annotation), line.annotation))
            for line in node.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        }
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }


def test_types_are_those_of_the_document() -> None:
    """A field of the client's types is in the document with the same type; `write_models.py` adds new ones."""
    folder = SOURCES / "python"
    script: dict[str, Any] = {"__name__": "write_models"}
    exec(compile((folder / "write_models.py").read_text(), "write_models.py", "exec"), script)
    documented = types_in("\n".join(script["lines"](openapi_schema())))
    written = types_in((folder / "src" / "threada_client" / "models.py").read_text())
    assert written.keys() == documented.keys()
    for name, fields in written.items():
        found = {field: documented[name].get(field) for field in fields}
        assert fields == found, f"{name}: run {folder}/write_models.py"


def test_a_token_is_sent_in_plain_text_to_this_machine_only() -> None:
    for client in (Threada, AsyncThreada):
        for url in ("http://threada.example", "http://127.0.0.1.threada.example", "ftp://localhost", "threada"):
            with pytest.raises(ValueError, match="https"):
                client(url, "thr_x")
    Threada("http://localhost:8000", "thr_x").close()
    Threada("http://threada.example", "thr_x", insecure=True).close()


def test_ids_name_no_other_path() -> None:
    with Threada("http://localhost:1", "thr_x") as client:
        steps: Any = type(client).work_item._steps(client, "../me?x=#y")
        assert next(steps).path == "/work-items/..%2Fme%3Fx%3D%23y"
        for wrong in ("", ".", ".."):
            with pytest.raises(ValueError, match="dots"):
                next(type(client).work_item._steps(client, wrong))
        with pytest.raises(ValueError, match="no id"):
            client.wait("pr_1")


def test_terminals_obey_nothing_of_an_answer() -> None:
    assert text_of("a\x1b[31m\r\n\u202eb") == "a\\u001b[31m\\u000d\\u000a\\u202eb"
    assert text_of({"a": "\x1b"}) == '{"a": "\\u001b"}'


def test_a_token_and_its_address_come_from_the_same_place(tmp_path: Path) -> None:
    for variables in ({"THREADA_URL": "https://elsewhere.example"}, {"THREADA_TOKEN": "thr_x"}):
        names = {"THREADA_URL": None, "THREADA_TOKEN": None, "XDG_CONFIG_HOME": str(tmp_path), **variables}
        done = CliRunner(env=names).invoke(threada, ["me"])
        assert done.exit_code == 2
        assert "both" in done.output


def test_every_command_has_help_and_every_failure_its_exit_code() -> None:
    assert isinstance(threada, click.Group)
    wanted = "login logout me submit wait decide explain plan apply export verify hook completion"
    assert set(threada.commands) == set(wanted.split())
    assert all(command.help for command in threada.commands.values())
    made = {
        3: client_errors.refusal({"reason_code": "not_found", "category": "validation"}, 404),
        4: client_errors.refusal({"reason_code": "scope_missing", "category": "authorization"}, 403),
        5: client_errors.refusal({"reason_code": "policy_denied", "category": "policy"}, 403),
        6: client_errors.ConnectionFailed("reset"),
        7: client_errors.WaitTimedOut("late", {}),
    }
    assert {code: exit_code(error) for code, error in made.items()} == {code: code for code in made}
