"""The `webhook`, `chat` and `mail` connectors with real receivers: envelope, sent message and outcome."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import HTTP, default
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.connectors import CallTerms, OutboundConnector, connector_named
from integrations.connectors.chat_files import with_files
from integrations.connectors.chat_services import ChatMessage, write_message
from integrations.connectors.standard_webhooks import is_signed
from integrations.documents import read_integration
from integrations.transport import EgressPolicy, StreamedBody, verifying_context
from tests.integrations.recorders import RecordingNetwork
from tests.integrations.secrets_in import secrets_in
from tests.ports import free_port
from tests.receivers.fixtures import TLS_AUTHORITY, TLS_SERVER, Receiver
from threada_site.kernel import ids
from threada_site.kernel.errors import DocumentInvalid, ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes
from workitems.file_storage.stored_files import CheckedFile

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
NEW, OLD = b"n" * 24, b"o" * 32
ENVIRON = {
    "NEW_KEY": "whsec_" + base64.b64encode(NEW).decode(),
    "OLD_KEY": OLD.decode(),
    "MAIL_PASSWORD": "pässword-canary",
    "SHORT": "short",
}
FACTS: dict[str, Any] = {
    "item": {"id": "wi_1", "payload": {"vendor": "Müller", "email": "ann@example.com", "amount_minor": 1250}},
    "ctx": {"action": "tell", "now": "2026-01-31T09:00:00Z"},
    "input": {},
}


def terms(**changes: Any) -> CallTerms:
    usual: dict[str, Any] = {
        "idempotency_key": "ex_1",
        "timeout_s": 3.0,
        "egress": EgressPolicy(["127.0.0.0/8"]),
        "user_agent": "Threada/0.2.0",
        "secrets": secrets_in(ENVIRON),
        "now": NOW,
    }
    return CallTerms(**{**usual, **changes})


def run(spec: dict[str, Any], facts: dict[str, Any] = FACTS, **changes: Any) -> tuple[dict[str, Any], Any]:
    """Return the request of the only action in the envelope, and the outcome of calling it."""
    document = read_integration(spec)
    (slug,) = document.actions
    connector = connector_named(spec["connector"])
    request = connector.build_request(document, document.action(slug), facts)
    assert not any(secret in canonical_bytes(request).decode() for secret in ENVIRON.values())
    assert isinstance(connector, OutboundConnector)
    return request, connector.call(json.loads(canonical_bytes(request)), terms(**changes))


def webhook(receiver: Receiver, **changes: Any) -> dict[str, Any]:
    action = {"path": "/cases", "type": "case.ready", "data": {"amount": "${item.payload.amount_minor}"}}
    return {
        "connector": "webhook",
        "base_url": receiver.url,
        "secrets": [{"env": "NEW_KEY"}, {"env": "OLD_KEY"}],
        "actions": {"tell": action},
        **changes,
    }


class TestWebhook:
    def test_both_keys_sign_what_is_sent(self, receiver: Receiver) -> None:
        request, outcome = run(webhook(receiver))
        assert outcome.succeeded
        assert request == {
            "method": "POST",
            "url": f"{receiver.url}/cases",
            "headers": {},
            "signed_with": [{"env": "NEW_KEY"}, {"env": "OLD_KEY"}],
            "body": {"type": "case.ready", "timestamp": "2026-01-31T09:00:00Z", "data": {"amount": 1250}},
        }
        (call,) = receiver.requests()
        assert call["body"] == canonical_bytes(request["body"]).decode()
        headers = call["headers"]
        assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("ex_1", str(int(NOW.timestamp())))
        signed = f"ex_1.{headers['webhook-timestamp']}.{call['body']}".encode()
        expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in (NEW, OLD)]
        assert headers["webhook-signature"] == f"v1,{expected[0]} v1,{expected[1]}"
        assert (headers["idempotency-key"], headers["content-type"]) == ("ex_1", "application/json")

    def test_action_without_data(self, receiver: Receiver) -> None:
        request, outcome = run(webhook(receiver, actions={"tell": {}}, secrets={"env": "OLD_KEY"}))
        assert outcome.succeeded
        assert request["body"] == {"type": "tell", "timestamp": "2026-01-31T09:00:00Z", "data": {}}
        assert len(receiver.requests("/")) == 1

    @pytest.mark.parametrize("name", ["SHORT", "NOT_SET"])
    def test_invalid_key_sends_nothing(self, receiver: Receiver, name: str) -> None:
        _, outcome = run(webhook(receiver, secrets=[{"env": "NEW_KEY"}, {"env": name}]))
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
        assert receiver.requests() == []

    def test_an_answer_that_repeats_a_key_is_recorded_without_it(self, receiver: Receiver) -> None:
        receiver.behave(status=500, body={"seen": ENVIRON["NEW_KEY"], "also": OLD.decode()})
        _, outcome = run(webhook(receiver))
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.BAD_RESPONSE, True)
        assert outcome.response["body"] == '{"seen": "[redacted]", "also": "[redacted]"}'


PDF = b"%PDF-1.7 invoice-canary"
INVOICE: dict[str, Any] = {
    "attachment_id": ids.public_id(ids.ATTACHMENT, ids.new_uuid()),
    "name": "Rechnung März.pdf",
    "media_type": "application/pdf",
    "size": len(PDF),
    "sha256": hashlib.sha256(PDF).hexdigest(),
}


def with_invoice(spec: dict[str, Any], *, stored: bytes | None = PDF, **about: Any) -> tuple[dict[str, Any], Any]:
    """Run the only action with a payload that has an invoice, and a storage that has `stored`, or does not answer."""

    def opened(_about: Any) -> CheckedFile:
        if stored is None:
            raise TransportFailure(FailureClass.ATTACHMENT_MISMATCH, "The stored file no longer exists.")
        return CheckedFile(io.BytesIO(stored), len(stored))

    invoice = {**INVOICE, **about}
    facts = {**FACTS, "item": {**FACTS["item"], "payload": {**FACTS["item"]["payload"], "invoice": invoice}}}
    return run(spec, facts=facts, files=opened)


class TestFiles:
    def test_webhook_signs_the_bytes_inside_of_the_message(self, receiver: Receiver) -> None:
        request, outcome = with_invoice(webhook(receiver, actions={"tell": {"files": ["${item.payload.invoice}"]}}))
        assert outcome.succeeded
        assert (request["files"], request["files_as"]) == ([INVOICE], "base64")
        assert request["body"]["files"] == [INVOICE]
        (call,) = receiver.requests()
        (sent,) = json.loads(call["body"])["files"]
        assert base64.b64decode(sent.pop("content")) == PDF
        assert sent == INVOICE
        assert is_signed(call["body"].encode(), call["headers"], keys=[NEW], now=NOW)

    def test_webhook_streams_a_form_whose_signed_message_has_the_digests(self, receiver: Receiver) -> None:
        action = {"files": ["${item.payload.invoice}"], "files_as": "multipart"}
        request, outcome = with_invoice(webhook(receiver, actions={"tell": action}))
        assert outcome.succeeded
        (call,) = receiver.requests()
        head = f"Content-Type: {call['headers']['content-type']}\r\n\r\n"
        message, file = message_from_bytes((head + call["body"]).encode(), policy=HTTP).iter_parts()
        signed = message.get_payload(decode=True)
        assert signed == canonical_bytes(request["body"])
        assert is_signed(signed, call["headers"], keys=[NEW], now=NOW)
        assert json.loads(signed)["files"] == [INVOICE]
        assert (file.get_payload(decode=True), file.get_content_type()) == (PDF, "application/pdf")

    def test_mail_attaches_the_file(self, mailroom: Mailroom) -> None:
        spec = mail(f"smtp://127.0.0.1:{mailroom.port}", files=["${item.payload.invoice}"])
        request, outcome = with_invoice(spec)
        assert outcome.succeeded
        assert request["files"] == [INVOICE]
        ((_, _, content),) = mailroom.taken
        (attached,) = message_from_bytes(content, policy=default).iter_attachments()
        assert (attached.get_filename(), attached.get_content_type()) == (INVOICE["name"], "application/pdf")
        assert attached.get_content() == PDF
        assert with_invoice(spec, media_type="multipart/mixed; boundary=x")[1].succeeded
        (attached,) = message_from_bytes(mailroom.taken[1][2], policy=default).iter_attachments()
        assert (attached.get_content_type(), attached.get_content()) == ("application/octet-stream", PDF)

    def test_nothing_is_sent_without_the_approved_file_and_sizes_are_limited(
        self, receiver: Receiver, mailroom: Mailroom
    ) -> None:
        hook = {"files": ["${item.payload.invoice}"]}
        form = {**hook, "files_as": "multipart"}
        specs = [webhook(receiver, actions={"tell": action}) for action in (hook, form)]
        specs.append(mail(f"smtp://127.0.0.1:{mailroom.port}", **hook))
        for spec, most in zip(specs, (5, 100, 10), strict=True):
            outcome = with_invoice(spec, stored=None)[1]
            assert (outcome.failure, outcome.ambiguous) == (FailureClass.ATTACHMENT_MISMATCH, False)
            with pytest.raises(ExpressionFailed, match="bytes together"):
                with_invoice(spec, size=most * 1024 * 1024 + 1)
        assert (receiver.requests(), mailroom.taken) == ([], [])

    def test_discord_takes_message_and_file_in_one_form(self) -> None:
        written = write_message(
            ChatMessage("The invoice."), service="discord", address=f"discord://{'1' * 18}/{'a' * 68}"
        )
        files = lambda _about: CheckedFile(io.BytesIO(PDF), len(PDF))  # noqa: E731
        form = with_files(written.request, [INVOICE], terms(files=files), service="discord")
        assert (form.method, form.url) == (written.request.method, written.request.url)
        assert isinstance(form.body, StreamedBody)
        head = f"Content-Type: {dict(form.headers)['Content-Type']}\r\n\r\n".encode()
        text, file = message_from_bytes(head + b"".join(form.body.blocks()), policy=HTTP).iter_parts()
        assert json.loads(text.get_payload(decode=True)) == json.loads(bytes(written.request.body))
        assert file.get_payload(decode=True) == PDF

    def test_ntfy_takes_the_file_as_the_body_of_a_message(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        origin = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setitem(ENVIRON, "TEAM_CHAT", f"ntfy://127.0.0.1:{receiver.port}/invoices")
        action = {"title": "Größe", "text": "Two\nlines & more", "files": ["${item.payload.invoice}"]}
        spec = {
            "connector": "chat",
            "service": "ntfy",
            "base_url": origin,
            "address": {"env": "TEAM_CHAT"},
            "actions": {"tell": action},
        }
        assert with_invoice(spec)[1].succeeded
        (call,) = receiver.requests()
        path, _, query = call["path"].partition("?")
        assert (call["method"], path, call["body"]) == ("PUT", "/invoices", PDF.decode())
        assert dict(parse_qsl(query)) == {
            "filename": INVOICE["name"],
            "title": "Größe",
            "message": "Two\nlines & more",
        }
        with pytest.raises(ExpressionFailed, match="2048"):
            with_invoice({**spec, "actions": {"tell": {**action, "text": "x" * 2049}}})

    def test_documents_name_files_where_they_can_be_sent(self, receiver: Receiver) -> None:
        chat = {"connector": "chat", "address": {"env": "TEAM_CHAT"}}
        tell = {"actions": {"tell": {"text": "x", "files": ["${item.payload.invoice}"]}}}
        assert read_integration({**chat, **tell, "service": "discord"}).actions
        own = {"base_url": "https://chat.example.com"}
        assert read_integration({**chat, **tell, **own, "service": "ntfy"}).actions
        two = {"actions": {"tell": {"text": "x", "files": ["${item.payload.invoice}", "${item.payload.order}"]}}}
        for spec in (
            {**chat, **tell, "service": "slack"},
            {**chat, **tell, **own, "service": "mattermost"},
            {**chat, **two, **own, "service": "ntfy"},
            webhook(receiver, actions={"tell": {"files_as": "multipart"}}),
            mail("smtp://127.0.0.1:1", files=[]),
        ):
            with pytest.raises(DocumentInvalid):
                read_integration(spec)


def test_chat_request_contains_the_text_and_no_address(receiver: Receiver) -> None:
    address = f"mmost://127.0.0.1:{receiver.port}/3ccdd113474722377935511fc85d3dd4"
    spec = {
        "connector": "chat",
        "service": "mattermost",
        "base_url": receiver.url,
        "address": {"env": "TEAM_CHAT"},
        "actions": {
            "tell": {"title": "Case ${item.id}", "text": "Pay **${item.payload.vendor}**?", "format": "markdown"}
        },
    }
    request, outcome = run(spec, secrets=secrets_in({"TEAM_CHAT": address}))
    assert outcome.succeeded
    assert request == {
        "service": "mattermost",
        "base_url": receiver.url,
        "address": {"env": "TEAM_CHAT"},
        "title": "Case wi_1",
        "text": "Pay **Müller**?",
        "format": "markdown",
    }
    (call,) = receiver.requests()
    assert "Pay **Müller**?" in json.loads(call["body"])["text"]
    _, outcome = run(spec, secrets=secrets_in({}))
    assert outcome.failure is FailureClass.CREDENTIAL_UNAVAILABLE
    assert len(receiver.requests()) == 1


class Mailroom:
    """A mail server on loopback that stores received messages."""

    def __init__(self, **options: Any) -> None:
        self.taken: list[tuple[str, list[str], bytes]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refuses: dict[str, str] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS_SERVER)
        tls = {"starttls": {"tls_context": context, "require_starttls": True}}.get(options.pop("tls", ""), {})
        self.port = free_port()
        self.controller = Controller(
            self, hostname="127.0.0.1", port=self.port, authenticator=self.sign_in, auth_require_tls=True, **tls
        )
        self.controller.start()

    def sign_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password.decode() == ENVIRON["MAIL_PASSWORD"], handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.taken.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 Queued as 7"


@pytest.fixture
def mailroom() -> Iterator[Mailroom]:
    receiver = Mailroom()
    yield receiver
    receiver.controller.stop()


@pytest.fixture
def tls_mailroom() -> Iterator[Mailroom]:
    receiver = Mailroom(tls="starttls")
    yield receiver
    receiver.controller.stop()


def mail(server: str, **action: Any) -> dict[str, Any]:
    tell_action = {
        "to": ["${item.payload.email}", "Bob <bob@example.com>"],
        "cc": "carol@example.com",
        "reply_to": "desk@example.com",
        "subject": "Für ${item.payload.vendor}",
        "text": "Zeile 1\n.Zeile 2\n",
        **action,
    }
    return {
        "connector": "mail",
        "server": server,
        "from": "Zahlstelle <pay@example.com>",
        "actions": {"tell": tell_action},
    }


class TestMail:
    def test_message_arrives_as_approved(self, mailroom: Mailroom) -> None:
        request, outcome = run(mail(f"smtp://127.0.0.1:{mailroom.port}"))
        assert (outcome.failure, outcome.response) == (None, {"status": 250, "detail": "Queued as 7"})
        assert request == {
            "server": f"smtp://127.0.0.1:{mailroom.port}",
            "username": None,
            "secret": None,
            "from": "Zahlstelle <pay@example.com>",
            "to": ["ann@example.com", "Bob <bob@example.com>"],
            "cc": ["carol@example.com"],
            "reply_to": ["desk@example.com"],
            "subject": "Für Müller",
            "text": "Zeile 1\n.Zeile 2\n",
        }
        ((sender, recipients, content),) = mailroom.taken
        assert (sender, recipients) == (
            "pay@example.com",
            ["ann@example.com", "bob@example.com", "carol@example.com"],
        )
        message = message_from_bytes(content, policy=default)
        assert (message["Subject"], message["From"]) == ("Für Müller", "Zahlstelle <pay@example.com>")
        assert (message["To"], message["Cc"]) == ("ann@example.com, Bob <bob@example.com>", "carol@example.com")
        assert (message["Message-ID"], message["Reply-To"]) == ("<ex_1@example.com>", "desk@example.com")
        assert message["Date"].datetime == NOW
        assert message.get_content().replace("\r\n", "\n") == "Zeile 1\n.Zeile 2\n"

    def test_credentials_are_sent_over_tls_only(self, tls_mailroom: Mailroom) -> None:
        spec = {
            **mail(f"smtp+starttls://receiver.test:{tls_mailroom.port}"),
            "auth": {"username": "threada", "secret": {"env": "MAIL_PASSWORD"}},
        }
        network = RecordingNetwork({"receiver.test": ["127.0.0.1"]}, dials=True)
        _, outcome = run(spec, network=network, tls=verifying_context(str(TLS_AUTHORITY)))
        assert outcome.succeeded
        assert tls_mailroom.logins == [(b"threada", "pässword-canary".encode())]
        assert len(tls_mailroom.taken) == 1
        _, outcome = run(spec, network=network)  # not signed by a public certificate authority
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.BAD_RESPONSE, False)
        assert len(tls_mailroom.logins) == 1
        _, wrong = run(
            spec, network=network, tls=verifying_context(str(TLS_AUTHORITY)), secrets=secrets_in({"MAIL_PASSWORD": "x"})
        )
        assert (wrong.failure, wrong.response) == (FailureClass.REJECTED_BY_RECEIVER, {"status": 535})

    def test_server_without_tls_gets_no_tls_message(self, mailroom: Mailroom) -> None:
        _, outcome = run(mail(f"smtp+starttls://127.0.0.1:{mailroom.port}"))
        assert (outcome.failure, outcome.detail) == (
            FailureClass.REJECTED_BY_RECEIVER,
            "The mail server offers no STARTTLS.",
        )
        assert mailroom.taken == []

    @pytest.mark.parametrize(
        ("reply", "failure"),
        [
            ("550 No such user", FailureClass.REJECTED_BY_RECEIVER),
            ("451 Come again later", FailureClass.RECEIVER_RATE_LIMITED),
        ],
    )
    def test_one_refused_recipient_refuses_all(self, mailroom: Mailroom, reply: str, failure: FailureClass) -> None:
        mailroom.refuses = {"carol@example.com": reply}
        _, outcome = run(mail(f"smtp://127.0.0.1:{mailroom.port}"))
        assert (outcome.failure, outcome.ambiguous) == (failure, False)
        assert outcome.response == {"status": int(reply[:3])}
        assert mailroom.taken == []

    @pytest.mark.parametrize(
        "action",
        [
            {"to": "${item.payload.vendor}"},
            {"to": "${[item.payload.email, item.payload.amount_minor]}"},
            {"subject": "a\nb"},
            {"to": ["ann@example.com"] * 51, "cc": []},
            {"to": [], "cc": "ann@example.com"},
        ],
    )
    def test_invalid_message_is_refused(self, action: dict[str, Any]) -> None:
        with pytest.raises(ExpressionFailed):
            run(mail("smtp://127.0.0.1:1", **action))

    def test_private_address_is_not_called(self, mailroom: Mailroom) -> None:
        _, outcome = run(mail(f"smtp://127.0.0.1:{mailroom.port}"), egress=EgressPolicy())
        assert outcome.failure is FailureClass.BLOCKED_ADDRESS
        assert mailroom.taken == []
