"""Pasted `curl` commands: what is read, what is left out, and what is refused."""

from __future__ import annotations

import pytest

from integrations.documents import read_integration
from integrations.documents.curl import MOST_CHARACTERS, import_curl
from threada_site.kernel.errors import DocumentInvalid

CANARY = "canary-55f0-secret"
COMMAND = f"""
curl -sS -X POST 'https://api.bank.example:8443/v1/payments?dry=1&api_key={CANARY}' \\
  -H 'Authorization: Bearer {CANARY}' -H "X-Trace: a b" -H 'X-Api-Key: {CANARY}' -H 'Content-Type: application/json' \\
  --data-raw '{{"amount": 5, "password": "{CANARY}", "lines": [{{"token": "{CANARY}", "text": "x"}}]}}'
"""


def test_a_command_becomes_a_document_without_its_secrets() -> None:
    found = import_curl(COMMAND)
    document = found.document("bank", name="", action="pay", secret="bank_secret")
    assert document["spec"] == {
        "connector": "http",
        "base_url": "https://api.bank.example:8443",
        "auth": {"scheme": "bearer", "secret": {"stored": "bank_secret"}},
        "actions": {
            "pay": {
                "method": "POST",
                "path": "/v1/payments",
                "query": {"dry": "1"},
                "headers": {"X-Trace": "a b"},
                "body": {"amount": 5, "lines": [{"text": "x"}]},
            }
        },
    }
    assert found.secret == CANARY
    assert CANARY not in str(document) + str(found.notes) + repr(found)
    read_integration(document["spec"])


def test_secrets_in_unusual_places_are_left_out_or_noted() -> None:
    found = import_curl(f"curl -H 'X-Upstream: Bearer {CANARY}' https://a.example/v1/payments")
    assert CANARY not in str(found.document("a", name="", action="b", secret="c"))
    assert ["X-Upstream" in note for note in found.notes] == [True]
    hook = import_curl("curl -d '{}' https://hooks.chat.example/services/T0001/B0002/" + "aB3" * 8)
    assert ["path looks like a secret" in note for note in hook.notes] == [True]
    assert import_curl("curl https://a.example/v1/payments/pending-approvals-of-everybody/12").notes == []


@pytest.mark.parametrize(
    ("header", "auth"),
    [
        (f"X-Api-Key: {CANARY}", {"scheme": "header", "name": "X-Api-Key"}),
        (f"PRIVATE-TOKEN: {CANARY}", {"scheme": "header", "name": "PRIVATE-TOKEN"}),
        (f"X-Idempotency-Key: {CANARY}", None),
        (f"Proxy-Authorization: {CANARY}", None),
    ],
)
def test_a_key_in_a_header_authenticates_calls(header: str, auth: dict[str, str] | None) -> None:
    found = import_curl(f"curl -H '{header}' -H 'X-Other-Token: {CANARY}-2' -u '' https://a.example/v1")
    document = found.document("a", name="", action="b", secret="c")
    assert CANARY not in str(document) + repr(found)
    read_integration(document["spec"])
    assert found.auth == (auth or {"scheme": "header", "name": "X-Other-Token"})
    assert found.secret == (header.partition(": ")[2] if auth else f"{CANARY}-2")


@pytest.mark.parametrize(
    ("command", "username"),
    [
        (f"curl -u ann:{CANARY} https://a.example/", "ann"),
        (f"curl https://ann:{CANARY}@a.example/", "ann"),
        ("curl -H 'Authorization: Basic YW5uOmNhbmFyeS01NWYwLXNlY3JldA==' a.example", "ann"),
    ],
)
def test_user_and_password_are_taken_apart(command: str, username: str) -> None:
    found = import_curl(command)
    assert (found.auth, found.secret) == ({"scheme": "basic", "username": username}, CANARY)
    assert CANARY not in str(found.document("a", name="", action="b", secret="c"))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "wget https://a.example",
        f"curl -k https://a.example -H 'X: {CANARY}'",
        "curl --proxy http://p https://a.example",
        "curl -d @/etc/passwd https://a.example",
        "curl --data-binary @- https://a.example",
        "curl -F file=@/etc/passwd https://a.example",
        "curl -K config https://a.example",
        "curl file:///etc/passwd",
        "curl gopher://a.example",
        "curl https://a.example https://b.example",
        "curl 'https://a.example",
        "curl -X CONNECT https://a.example",
        "curl -X GET -d '{}' https://a.example",
        "curl https://a.example -d 'a=b&c'",
        "curl https://a.example --json 'a=b'",
        "curl https://a.example -H 'Content-Type: application/xml' -d 'a=b'",
        "curl https://a.example -d 'a=%ff'",
        "curl 'https://a.example/${item.payload.x}'",
        "curl https://a.example:99999999/",
        f"curl https://a.example -H 'Authorization: Digest {CANARY}'",
        "curl https://a.example -d '" + "[" * 100_000 + "'",
        "curl https://a.example -d '" + "[" * 20_000 + "'",
        "curl https://a.example -d '" + '{"a":' * 500 + "1" + "}" * 500 + "'",
        "curl " + "x" * MOST_CHARACTERS,
        "curl -H",
        "curl -",
    ],
)
def test_what_cannot_be_expressed_is_refused_without_its_values(command: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        import_curl(command)
    assert CANARY not in str(refused.value.detail) + str(refused.value.errors)


def test_a_form_is_read_and_what_is_encoded_in_it_is_no_expression() -> None:
    found = import_curl(f"curl https://a.example/x -d 'token={CANARY}&to=a&to=b' -d 'text=%24%7Bitem.id%7D+%C3%BC'")
    assert found.action["form"] == {"to": ["a", "b"], "text": "$${item.id} ü"}
    assert ["look like secrets" in note for note in found.notes] == [True]
    found.take_from_request(["text"])
    assert found.action["form"] == {"to": ["a", "b"], "text": "${item.payload.text}"}
    read_integration(found.document("a", name="", action="b", secret="c")["spec"])


def test_the_shell_is_not_asked() -> None:
    found = import_curl("curl 'https://a.example/$(id)/`id`'")
    assert found.action["path"] == "/$(id)/`id`"
