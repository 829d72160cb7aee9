"""Planted secrets in a running instance reach their receivers and appear nowhere else.

Secrets are stored, in the environment and in a file; some receivers repeat them and some are refused. Logs of all
processes at DEBUG, every column of every table, API responses and the export are searched.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.adversarial.server import Server, running_server
from tests.receivers.fixtures import Receiver, receiver
from tests.receivers.issued_certificates import Authority

__all__ = ["receiver"]
pytestmark = pytest.mark.adversarial

STORED, FROM_ENV, FROM_FILE = "canary-stored-6b1f", "canary-env-93ad", "canary-file-07ce"
REFUSED = "canary-refused-51e0"
KEY, CLIENT, TOKEN = "canary-key-2d7e", "canary-client-c4a9", "canary-token-90be"
CERTIFICATE, PRIVATE_KEY = Authority().issue()
CANARIES = (STORED, FROM_ENV, FROM_FILE, REFUSED, KEY, CLIENT, TOKEN, *PRIVATE_KEY.split("\n")[1:-2])
"""The private key is searched by each of its lines. It does not leave the worker."""


def forms_of(canary: str) -> set[str]:
    raw = canary.encode()
    return {canary, raw.hex(), base64.b64encode(raw).decode().rstrip("=")[:-1]}


def call(server: Server, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = server.send(method, path, None if body is None else json.dumps(body).encode())
    return answer.status, answer.body.decode()


def manager_of(server: Server) -> Server:
    options = ["--tenant", "demo", "--principal", "ivy", "--kind", "service", "--role", "tenant_admin"]
    options += ["--owner", "developer-1"]
    scopes = ["--scopes", "workflow:manage workitems:read workitems:write actions:execute telemetry:read"]
    token = server.manage("create_credential", *options, *scopes).strip()
    return dataclasses.replace(server, token=token)


def run_through(server: Server, name: str, auth: dict[str, Any], bank: Receiver) -> str:
    """Run one action with the authentication to its end. Return all API responses.

    A client certificate is meant for TLS, which the receiver does not speak.
    """
    is_plain = auth["scheme"] != "mtls"
    spec = {
        "connector": "http",
        "base_url": bank.url if is_plain else bank.url.replace("http:", "https:"),
        "auth": auth,
        "retry": {"attempts": 2, "backoff": 0.1, "max_backoff": 0.2},
        "actions": {"pay": {"method": "POST", "path": f"/{name}", "body": {"item": "${item.id}"}}},
    }
    said = [call(server, "POST", "/integrations", {"integration_id": f"int_{name}", "spec": spec})]
    said.append(call(server, "POST", f"/integrations/int_{name}/test", {}))
    test = f"/integrations/int_{name}/tests/{json.loads(said[-1][1])['integration_test_id']}"
    payload = {"vendor": "Hooli", "amount_minor": 900}
    created = call(
        server, "POST", "/work-items", {"workflow_id": "payment_run", "channel_id": "web_main", "payload": payload}
    )
    item = json.loads(created[1])["work_item_id"]
    body = {"work_item_id": item, "action_id": "pay", "integration_id": f"int_{name}"}
    started = call(server, "POST", "/actions/execute", body)
    assert started[0] == 202, started
    path = f"/executions/{json.loads(started[1])['execution_id']}"
    ends = time.monotonic() + 60
    while json.loads((shown := call(server, "GET", path))[1])["status"] in ("started", "running"):
        assert time.monotonic() < ends, shown
        time.sleep(0.1)
    assert (bank.requests(f"/{name}") != []) is is_plain
    said.append(call(server, "GET", test))
    timeline = call(server, "GET", f"/work-items/{item}/timeline")
    return "\n".join(text for _, text in [*said, created, started, shown, timeline])


def every_table(server: Server) -> dict[str, str]:
    """Return the rows of every table as COPY writes them."""
    with psycopg.connect(server.database_url) as database:
        tables = database.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = {}
        for schema, table in tables:
            with database.cursor().copy(
                sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(schema, table))
            ) as rows:
                found[table] = "\n".join(bytes(row).decode("utf-8", "replace") for row in rows)
    assert len(found) > 50
    return found


def test_planted_secrets_appear_only_at_their_receivers(tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "bank_token"
    file.write_text(FROM_FILE)
    references = {"stored": {"stored": "bank_token"}, "env": {"env": "CANARY_ENV"}, "file": {"file": str(file)}}
    auths: dict[str, dict[str, Any]] = {
        **{name: {"scheme": "bearer", "secret": reference} for name, reference in references.items()},
        "key": {"scheme": "header", "name": "X-Api-Key", "secret": {"stored": "bank_key"}},
        "mtls": {"scheme": "mtls", "certificate": {"stored": "pem"}, "private_key": {"stored": "pem"}},
        "broken": {"scheme": "mtls", "certificate": {"stored": "pem"}, "private_key": {"stored": "broken"}},
    }
    auths["oauth"] = {
        "scheme": "oauth2",
        "token_url": f"{receiver.url}/token",
        "client_id": "threada",
        "client_secret": {"stored": "client"},
    }
    tls_url = receiver.url.replace("http:", "https:")
    values = {"bank_token": STORED, "bank_key": f"Token {KEY}", "client": CLIENT}
    pems = {"pem": CERTIFICATE + PRIVATE_KEY, "broken": Authority().issue()[1] + PRIVATE_KEY}
    own = {
        "THREADA_LOG_LEVEL": "DEBUG",
        "THREADA_EGRESS_ALLOW": "127.0.0.1/32",
        "THREADA_SECRET_REFS": f"demo/env:CANARY_ENV@{receiver.url} demo/file:{file}@{receiver.url}",
        "CANARY_ENV": FROM_ENV,
    }
    receiver.behave(
        {
            "/stored": {"status": 422, "body": {"you": f"Bearer {STORED}"}},
            "/env": {"status": 500, "body": f"no such token: {FROM_ENV}", "content_type": "text/plain"},
            "/token": {"body": {"access_token": TOKEN, "token_type": "bearer", "expires_in": 600, "echo": CLIENT}},
            "/oauth": {"status": 422, "body": {"you": f"Bearer {TOKEN}"}},
            "/key": {"status": 500, "body": {"unknown": KEY}},
            "/file": {"status": 200, "headers": {"X-Echo": FROM_FILE}, "body": {"token": FROM_FILE}},
        }
    )
    with running_server(tmp_path, **own) as plain:
        server = manager_of(plain)
        said = [
            call(server, "POST", "/secrets", {"secret_id": name, "value": value, "origins": [origin]})[1]
            for stored, origin in ((values, receiver.url), (pems, tls_url))
            for name, value in stored.items()
        ]
        for wrong in (
            {"secret_id": "refused", "value": f"{REFUSED}\nX: 1", "origins": [receiver.url]},
            {"secret_id": "refused", "value": REFUSED, "origins": ["not an origin"]},
            {"secret_id": "Not A Slug", "value": REFUSED, "origins": [receiver.url]},
            {"secret_id": "refused", "value": [REFUSED], "origins": [receiver.url]},
            {"secret_id": "refused", "value": f"{PRIVATE_KEY}\x7f", "origins": [receiver.url]},
        ):
            status, text = call(server, "POST", "/secrets", wrong)
            assert status == 422
            said.append(text)
        said += [run_through(server, name, auth, receiver) for name, auth in auths.items()]
        said += [call(server, "GET", path)[1] for path in ("/secrets", "/integrations", "/telemetry/events")]
        said.append(server.manage("export_telemetry", "--tenant", "demo"))
        columns = "\n".join(every_table(server).values())
    log = plain.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ran = [line for line in lines if line["event"] == "execution_ran"]
    assert {line["target"] for line in ran} == {f"int_{name}.pay" for name in auths}
    for line in ran:
        assert line["tenant"] == "demo"
        assert line["execution"].startswith("ex_")
        assert re.fullmatch(r"[0-9a-f]{32}", line["correlation_id"])
    sent = [entry["headers"] for entry in receiver.requests() if entry["path"] != "/token"]
    assert len(receiver.requests("/token")) == 1
    assert {headers.get("authorization") for headers in sent if "x-api-key" not in headers} == {
        f"Bearer {canary}" for canary in (STORED, FROM_ENV, FROM_FILE, TOKEN)
    }
    assert {headers["x-api-key"] for headers in sent if "authorization" not in headers} == {f"Token {KEY}"}
    for canary in CANARIES:
        for form in forms_of(canary):
            places = {"answers": "\n".join(said), "columns": columns, "logs": log}
            assert [name for name, text in places.items() if form in text] == [], form
