"""Calls with client certificates, to a TLS receiver that demands one of its authority."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.connectors import CallTerms, HttpConnector
from integrations.connectors.mcp import McpConnector
from integrations.documents import read_integration
from integrations.secrets.pem import is_pem, pem_blocks
from integrations.tools.fetch import fetch_tools
from integrations.transport import EgressPolicy, SystemNetwork, presenting_context, verifying_context
from tests.integrations.recorders import RecordingNetwork
from tests.integrations.secrets_in import secrets_in
from tests.receivers.fixtures import TLS_AUTHORITY, Receiver
from tests.receivers.issued_certificates import Authority

MTLS = {"scheme": "mtls", "certificate": {"env": "CERTIFICATE"}, "private_key": {"env": "KEY"}}
ACTION = {"method": "POST", "path": "/payments", "body": {"amount": 5}}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def strict(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run a TLS receiver for `receiver.test` that demands a certificate of `authority`."""
    folder = tmp_path_factory.mktemp("strict_receiver")
    (folder / "clients.pem").write_text(authority.pem)
    running = Receiver(folder, tls=True, clients=folder / "clients.pem")
    yield running
    running.stop()


def request_to(receiver: Receiver, auth: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {
        "connector": "http",
        "base_url": f"https://receiver.test:{receiver.port}",
        "auth": MTLS if auth is None else auth,
        "actions": {"pay": ACTION},
    }
    document = read_integration(spec)
    return HttpConnector().build_request(document, document.action("pay"), {})


def call(
    receiver: Receiver, certificate: str, key: str, *, auth: dict[str, Any] | None = None, **changes: Any
) -> Outcome:
    """Call with these values of the secrets. Neither of them is in the outcome, whatever it is."""
    request = json.loads(json.dumps(request_to(receiver, auth)))
    usual: dict[str, Any] = {
        "idempotency_key": "ex_1",
        "timeout_s": 5.0,
        "egress": EgressPolicy(["127.0.0.0/8"]),
        "user_agent": "Threada/test",
        "network": RecordingNetwork({"receiver.test": ["127.0.0.1"]}, dials=True),
        "tls": verifying_context(str(TLS_AUTHORITY)),
        "secrets": secrets_in({"CERTIFICATE": certificate, "KEY": key, "TOKEN": "x"}),
    }
    outcome = HttpConnector().call(request, CallTerms(**{**usual, **changes}))
    shown = repr(outcome) + outcome.detail + json.dumps(outcome.response) + repr(request)
    assert not any(line in shown for line in (certificate + key).split("\n") if len(line) > 20)
    return outcome


def sent_count(receiver: Receiver) -> int:
    return len(receiver.requests())


def with_version(certificate: str, version: int) -> str:
    """Return a certificate with another number as its version."""
    (body,) = re.findall("-----\n(.*)\n-----", certificate, re.DOTALL)
    changed = base64.b64decode(body).replace(b"\xa0\x03\x02\x01\x02", bytes([0xA0, 3, 2, 1, version]), 1)
    return f"-----BEGIN CERTIFICATE-----{base64.b64encode(changed).decode()}-----END CERTIFICATE-----"


def test_the_receiver_sees_the_certificate(strict: Receiver, authority: Authority) -> None:
    assert request_to(strict)["auth"] == MTLS
    certificate, key = authority.issue("threada of acme")
    assert call(strict, certificate, key).succeeded
    entry = strict.requests()[-1]
    assert (entry["subject"], entry["path"], entry["body"]) == ("threada of acme", "/payments", '{"amount":5}')
    assert "authorization" not in entry["headers"]


def test_texts_without_line_breaks_and_with_other_blocks_are_read(strict: Receiver, authority: Authority) -> None:
    certificate, key = authority.issue()
    both = f"Bag Attributes\n    friendlyName: threada\n{key}{certificate}{authority.pem}"
    forms = [
        (certificate.replace("\n", ""), key.replace("\n", "")),
        (certificate.replace("\n", "\\n"), key.replace("\n", "\\n")),
        (certificate.replace("\n", "\r\n"), key.replace("\n", "\r\n")),
        (both, both),
    ]
    assert [call(strict, *form).succeeded for form in forms] == [True] * 4


def test_a_refused_certificate_is_no_ambiguous_call(strict: Receiver, authority: Authority) -> None:
    """In TLS 1.3 the receiver refuses after the request was sent, of which it reads nothing."""
    before = sent_count(strict)
    absent = call(strict, "", "", auth={"scheme": "bearer", "secret": {"env": "TOKEN"}})
    foreign = call(strict, *Authority("others").issue())
    for outcome, said in ((absent, "certificate required"), (foreign, "unknown ca")):
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.CONNECTION_REFUSED, False), outcome.detail
        assert said in outcome.detail.lower().replace("_", " ")
    assert sent_count(strict) == before


def test_what_is_no_certificate_and_its_key_sends_nothing(strict: Receiver, authority: Authority) -> None:
    certificate, key = authority.issue()
    other_certificate, other_key = authority.issue()
    broken = certificate.replace(certificate.split("\n")[1], "A" * 64)
    large = rsa.RSAPublicNumbers(65537, 2**16383 + 1).public_key()
    before = sent_count(strict)
    for pair, said in (
        ((certificate, other_key), "key"),
        ((other_certificate + certificate, key), "key"),
        ((certificate, authority.issue(passphrase="canary")[1]), "without a passphrase"),
        ((certificate, "canary"), "contains no private key"),
        ((key, key), "contains no certificate"),
        ((certificate, key + other_key), "more than one"),
        ((certificate, key.replace("-----END", "-----EN")), "does not end"),
        ((broken, key), "cannot be read"),
        ((with_version(certificate, 7), key), "cannot be read"),
        ((authority.sign("large", large), key), "16384 bits"),
        (authority.issue(ends_in=-timedelta(days=1)), "that ended on"),
        (authority.issue(ends_in=timedelta(days=30)), "that begins on"),
    ):
        outcome = call(strict, *pair)
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
        assert said in outcome.detail
        assert "canary" not in outcome.detail
    assert sent_count(strict) == before


def test_the_receiver_is_verified_as_without_a_certificate(strict: Receiver, authority: Authority) -> None:
    outcome = call(strict, *authority.issue(), tls=None)
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.CONNECTION_REFUSED, False)
    assert "certificate verify failed" in outcome.detail
    assert call(strict, *authority.issue(), egress=EgressPolicy()).failure is FailureClass.BLOCKED_ADDRESS


def test_a_kept_connection_serves_one_certificate(strict: Receiver, authority: Authority) -> None:
    network = RecordingNetwork({"receiver.test": ["127.0.0.1"]}, dials=True)
    first, second = authority.issue("first"), authority.issue("second")
    for pair in (first, first, second):
        assert call(strict, *pair, network=network, kept_for="acme:1").succeeded
    assert [entry["subject"] for entry in strict.requests()[-3:]] == ["first", "first", "second"]
    assert len(network.dialled) == 2


def test_a_machine_without_files_in_memory_is_a_typed_failure(
    strict: Receiver, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    outcome = call(strict, *authority.issue())
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
    assert "Too many open files" in outcome.detail


def test_the_key_reaches_openssl_by_files_in_memory(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    read: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def recorded(context: ssl.SSLContext, certificate: str, key: str, password: Any) -> None:
        used.extend((certificate, key))
        read.extend(str(Path(path).readlink()) for path in used)
        load(context, certificate, key, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", recorded)
    certificate, key = authority.issue()
    context = presenting_context(certificate, key)
    assert presenting_context(certificate, key) is context
    assert all(path.startswith("/proc/self/fd/") for path in used)
    assert read == ["/memfd:threada-pem (deleted)"] * 2
    assert not any(Path(path).is_symlink() and "threada-pem" in str(Path(path).readlink()) for path in used)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_tools_are_read_and_called_with_the_certificate(
    strict: Receiver, authority: Authority, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1"]
    public = httpx.create_ssl_context(trust_env=False)
    public.load_verify_locations(TLS_AUTHORITY)
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **_: public)
    monkeypatch.setattr(SystemNetwork, "resolve", lambda *_: ["127.0.0.1"])
    certificate, key = authority.issue("threada for tools")
    spec = {"connector": "mcp", "base_url": f"https://receiver.test:{strict.port}/mcp", "auth": MTLS}
    document = read_integration({**spec, "actions": {"call_tool": {}}})
    secrets = secrets_in({"CERTIFICATE": certificate, "KEY": key})
    result = {"tools": [{"name": "look_up", "inputSchema": {"type": "object"}}], "content": []}
    strict.behave(body={"jsonrpc": "2.0", "id": 1, "result": result})
    assert list(fetch_tools(document, secrets)[0]) == ["look_up"]  # type: ignore[arg-type]
    facts = {"item": {"payload": {"tool": "look_up", "arguments": {}}}}
    request = McpConnector().build_request(document, document.action("call_tool"), facts)
    outcome = McpConnector().call(
        {**request, "tool": {"name": "look_up", "sha256": "0" * 64}},
        CallTerms(
            idempotency_key="ex_1",
            timeout_s=5,
            egress=EgressPolicy(["127.0.0.1"]),
            user_agent="Threada/test",
            secrets=secrets,
        ),
    )
    strict.behave()
    assert outcome.succeeded, outcome.detail
    sent = [(json.loads(entry["body"])["method"], entry["subject"]) for entry in strict.requests()[-2:]]
    assert sent == [("tools/list", "threada for tools"), ("tools/call", "threada for tools")]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("", 0),
        ("canary", 0),
        ("-----BEGIN A-----\nYWJj\n-----END A-----", 1),
        ("-----BEGIN A-----YWJj-----END A----------BEGIN B-----YWJj-----END B-----", 2),
        ("x\n-----BEGIN A-----\r\nYWJj\r\n-----END A-----\r\ny\n", 1),
        ("-----BEGIN A-----\nYWJj\n-----END B-----", None),
        ("-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nYWJj\n-----END A-----", None),
        ("-----BEGIN A-----\n\n-----END A-----", None),
        ("-----BEGIN " * 5000, None),
    ],
)
def test_blocks(text: str, blocks: int | None) -> None:
    if blocks is None:
        with pytest.raises(ValueError, match="does not end, is encrypted or is not Base64"):
            pem_blocks(text)
    else:
        assert [block for _, block in pem_blocks(text)] == [
            f"-----BEGIN {label}-----\nYWJj\n-----END {label}-----\n" for label in "AB"[:blocks]
        ]
    assert is_pem(text) is ("-----BEGIN " in text)
    assert not is_pem(text + "\x00")
    assert not is_pem(text + "ä")
