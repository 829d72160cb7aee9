"""Secrets are referenced, read at the call, and never shown."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.references import (
    Secret,
    SecretReference,
    entry_problems,
    listed_origins,
    parse_reference,
    resolve,
)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"env": "BANK_TOKEN"}, "env:BANK_TOKEN"),
        ({"env": "_x9"}, "env:_x9"),
        ({"file": "/run/secrets/bank"}, "file:/run/secrets/bank"),
    ],
)
def test_reference(written: dict[str, str], text: str) -> None:
    reference = parse_reference(written)
    assert str(reference) == text
    assert reference.as_json() == written


@pytest.mark.parametrize(
    "written",
    [
        "hunter2-canary",
        {"value": "hunter2-canary"},
        {"env": "A", "file": "/b"},
        {},
        None,
        ["env", "A"],
        {"env": 7},
        {"env": ""},
        {"env": "9A"},
        {"env": "A B"},
        {"env": "A\n"},
        {"env": "A=B"},
        {"file": 7},
        {"file": "relative"},
        {"file": ""},
        {"file": "/run/../etc/passwd"},
        {"file": "/run//bank"},
        {"file": "/run/./bank"},
        {"file": "/run/bank/"},
        {"file": "/run/\x00bank"},
    ],
)
def test_anything_else_is_refused_without_repeating_it(written: Any) -> None:
    with pytest.raises(ValueError, match=r"secret|variable|file") as refusal:
        parse_reference(written)
    assert "canary" not in str(refusal.value)


def test_only_listed_references_come_through_the_api() -> None:
    listed = [
        "env:BANK_TOKEN@https://bank.example",
        "env:BANK_TOKEN@https://bank.example:8443/v1",
        "file:/run/a@b/bank@https://bank.example",
        "globex/env:GLOBEX_TOKEN@https://globex.example",
        "acme/env:WITHOUT_ORIGIN",
        "env:AMBIGUOUS@https://bank.example/../x",
    ]

    def origins(source: Any, name: str, tenant: str = "acme") -> list[str]:
        return [str(origin) for origin in listed_origins(SecretReference(source, name), listed, tenant=tenant)]

    assert origins("env", "BANK_TOKEN") == ["https://bank.example", "https://bank.example:8443/v1"]
    assert origins("file", "/run/a@b/bank") == ["https://bank.example"]
    assert origins("env", "GLOBEX_TOKEN", "globex") == ["https://globex.example"]
    for source, name in (
        ("env", "BANK_TOKEN2"),
        ("env", "bank_token"),
        ("file", "/run/secrets"),
        ("env", "SECRET_KEY"),
        ("env", "GLOBEX_TOKEN"),
        ("env", "WITHOUT_ORIGIN"),
        ("env", "AMBIGUOUS"),
    ):
        assert origins(source, name) == []
    assert listed_origins(SecretReference("env", "BANK_TOKEN"), [], tenant="acme") == []
    assert [problem.partition(" ")[0] for problem in entry_problems(listed)] == [
        "acme/env:WITHOUT_ORIGIN",
        "env:AMBIGUOUS",
    ]


def test_variable_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretReference("env", "THREADA_TEST_TOKEN")
    monkeypatch.setenv("THREADA_TEST_TOKEN", "one")
    assert resolve(reference).reveal() == "one"
    monkeypatch.setenv("THREADA_TEST_TOKEN", "two\n")
    assert resolve(reference).reveal() == "two"
    assert resolve(reference, {"THREADA_TEST_TOKEN": "three"}).reveal() == "three"


def test_file_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("päss word\r\n", encoding="utf-8")
    assert resolve(SecretReference("file", str(path))).reveal() == "päss word"


def test_file_in_pem_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\r\nYWJj\r\n-----END PRIVATE KEY-----\r\n", newline="")
    text = "-----BEGIN PRIVATE KEY-----\r\nYWJj\r\n-----END PRIVATE KEY-----"
    assert resolve(SecretReference("file", str(path))).reveal() == text
    assert resolve(SecretReference("env", "KEY"), {"KEY": text}).reveal() == text


def test_secret_that_is_not_usable_is_a_typed_failure(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text("canary\ncanary")
    (tmp_path / "binary").write_bytes(b"\xff\xfecanary")
    (tmp_path / "large").write_bytes(b"canary" * 20_000)
    os.mkfifo(tmp_path / "pipe")
    names = ("absent", "empty", "lines", "binary", "large", "pipe", ".")
    references = [SecretReference("file", str(tmp_path / name)) for name in names]
    for reference in [*references, SecretReference("env", "THREADA_ABSENT"), SecretReference("file", "/dev/zero")]:
        with pytest.raises(TransportFailure) as failure:
            resolve(reference, {})
        assert (failure.value.failure, failure.value.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
        assert "canary" not in str(failure.value)
        assert str(reference) in failure.value.detail


def test_secret_shows_itself_to_reveal_alone() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        "{}".format(secret),  # noqa: UP032 - every way of formatting
        repr([secret]),
        repr({"a": secret}),
    ]
    assert all("canary" not in text for text in shown)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
