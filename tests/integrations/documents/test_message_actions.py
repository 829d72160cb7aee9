"""Documents of the `chat`, `mail` and `webhook` connectors, and their problems by JSON pointer."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.documents import read_integration
from integrations.documents.mail_actions import address_in
from threada_site.kernel.errors import DocumentInvalid

WEBHOOK = {
    "connector": "webhook",
    "base_url": "https://receiver.example/threada/",
    "secrets": [{"env": "NEW_KEY"}, {"env": "OLD_KEY"}],
    "actions": {"case_ready": {"path": "/cases", "type": "case.ready", "data": {"id": "${item.id}"}}},
}
CHAT = {
    "connector": "chat",
    "service": "slack",
    "address": {"env": "TEAM_CHAT"},
    "actions": {"tell": {"title": "${item.id}", "text": "For ${item.payload.vendor}.", "format": "markdown"}},
}
MAIL = {
    "connector": "mail",
    "server": "smtp+starttls://mail.example.com",
    "auth": {"username": "threada", "secret": {"env": "MAIL_PASSWORD"}},
    "from": "Payments <payments@example.com>",
    "actions": {"tell": {"to": ["${item.payload.email}", "a@example.com"], "subject": "S", "text": "T"}},
}


def problems(spec: dict[str, Any], **changes: Any) -> dict[str, str]:
    whole = {name: value for name, value in {**spec, **changes}.items() if value is not None}
    with pytest.raises(DocumentInvalid) as refusal:
        read_integration(whole)
    return {error.pointer: error.detail for error in refusal.value.errors}


def with_action(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    ((slug, action),) = spec["actions"].items()
    merged = {name: value for name, value in {**action, **changes}.items() if value is not None}
    return {"actions": {slug: merged}}


def test_whole_documents() -> None:
    webhook, chat, mail = (read_integration(spec) for spec in (WEBHOOK, CHAT, MAIL))
    assert webhook.base_url == "https://receiver.example/threada"
    assert [str(reference) for reference in webhook.secret_references] == ["env:NEW_KEY", "env:OLD_KEY"]
    assert (chat.base_url, chat.settings) == ("https://hooks.slack.com", "slack")
    assert [str(reference) for reference in chat.secret_references] == ["env:TEAM_CHAT"]
    assert (mail.base_url, mail.connection_url) == (None, "https://mail.example.com:587")
    assert mail.settings.url == "smtp+starttls://mail.example.com:587"
    assert [str(reference) for reference in mail.secret_references] == ["env:MAIL_PASSWORD"]
    assert all(not document.action(slug).idempotent for document, slug in ((webhook, "case_ready"), (chat, "tell")))


@pytest.mark.parametrize(
    ("server", "port"), [("smtp://[::1]", 25), ("smtps://mail.example.com", 465), ("smtps://h:2465/", 2465)]
)
def test_a_mail_server_has_its_scheme_s_port(server: str, port: int) -> None:
    spec = {name: value for name, value in MAIL.items() if name != "auth"}
    assert read_integration({**spec, "server": server}).settings.port == port


@pytest.mark.parametrize(
    ("spec", "changes", "pointer", "sentence"),
    [
        (WEBHOOK, {"secrets": None}, "/spec/secrets", "Write one secret, or a list of at most 2"),
        (WEBHOOK, {"secrets": []}, "/spec/secrets", "Write one secret, or a list of at most 2"),
        (WEBHOOK, {"secrets": [{"env": "A"}] * 3}, "/spec/secrets", "Write one secret, or a list of at most 2"),
        (WEBHOOK, {"secrets": [{"env": "A"}, "whsec_x"]}, "/spec/secrets/1", "A secret is named, never written out"),
        (WEBHOOK, {"auth": {"scheme": "bearer"}}, "/spec/auth", "There is no field"),
        (
            WEBHOOK,
            with_action(WEBHOOK, path="/x?y=1"),
            "/spec/actions/case_ready/path",
            "path must not contain a query",
        ),
        (
            WEBHOOK,
            with_action(WEBHOOK, headers={"webhook-id": "1"}),
            "/spec/actions/case_ready/headers/webhook-id",
            "webhook-id is set by Threada itself",
        ),
        (CHAT, {"service": "irc"}, "/spec/service", "'irc' is no chat service"),
        (CHAT, {"address": None}, "/spec/address", "A secret is named, never written out"),
        (CHAT, {"address": "slack://a/b/c"}, "/spec/address", "A secret is named, never written out"),
        (CHAT, {"base_url": "https://chat.example.com"}, "/spec/base_url", "Remove base_url"),
        (CHAT, {"service": "mattermost"}, "/spec/base_url", "base_url is required"),
        (CHAT, with_action(CHAT, text=None), "/spec/actions/tell/text", "text is required"),
        (CHAT, with_action(CHAT, format="html"), "/spec/actions/tell/format", "'html' is no format"),
        (MAIL, {"server": "https://mail.example.com"}, "/spec/server", "server must be smtps://host[:port]"),
        (MAIL, {"server": "smtps://user:pw@mail.example.com"}, "/spec/server", "server must be smtps://host[:port]"),
        (MAIL, {"server": "smtps://127.1"}, "/spec/server", "'127.1' reads as a number"),
        (
            MAIL,
            {"server": "smtp://mail.example.com"},
            "/spec/auth",
            "Credentials are not sent over a connection without TLS",
        ),
        (MAIL, {"auth": {"username": "x"}}, "/spec/auth/secret", "A secret is named, never written out"),
        (MAIL, {"from": "nobody"}, "/spec/from", "'nobody' is not a mail address"),
        (MAIL, with_action(MAIL, to=None), "/spec/actions/tell/to", "Write a mail address"),
        (MAIL, with_action(MAIL, to=["a@example.com", "b"]), "/spec/actions/tell/to", "Write a mail address"),
        (MAIL, with_action(MAIL, cc={"a": 1}), "/spec/actions/tell/cc", "Write a mail address"),
        (MAIL, with_action(MAIL, subject=None), "/spec/actions/tell/subject", "subject is required"),
        (MAIL, with_action(MAIL, html="<b>"), "/spec/actions/tell/html", "There is no field"),
    ],
)
def test_each_problem_is_named(spec: dict[str, Any], changes: dict[str, Any], pointer: str, sentence: str) -> None:
    found = problems(spec, **changes)
    assert list(found) == [pointer]
    assert found[pointer].startswith(sentence)
    assert "whsec_x" not in found[pointer]


@pytest.mark.parametrize(
    "text", ["ann@example.com", "Ann <ann@example.com>", "<ann@example.com>", "Änn <ann@example.com>"]
)
def test_address_of_a_mailbox(text: str) -> None:
    assert address_in(text) == "ann@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com, bob@example.com",
        "Ann, B <ann@example.com>",
        "ann@example.com\r\nBcc: bob@example.com",
        "Ann\n<ann@example.com>",
        "ann@bob@example.com",
        "ann",
        "ann@example.com>",
        "<ann@example.com",
        "änn@example.com",
        "",
    ],
)
def test_invalid_mail_address(text: str) -> None:
    assert address_in(text) is None
