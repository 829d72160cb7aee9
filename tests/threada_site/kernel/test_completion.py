"""Completion in unfinished documents, from the published schemas."""

from __future__ import annotations

import pytest

from threada_site.kernel.documents.completion import MOST_CHARACTERS, suggestions
from workitems.configuration.schemas import published_schema


def words(kind: str, text: str) -> list[str]:
    schema = published_schema(kind)
    assert schema is not None
    return [entry.text for entry in suggestions(text, schema)]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Policy", "", ["kind", "id", "spec"]),
        ("Policy", "kind: ", ["Policy"]),
        ("Policy", "kind: Policy\nid: x\nspec:\n  ", ["rules", "tests", "default"]),
        ("Policy", "spec:\n  rules:\n    - id: a\n      effect: req", ["deny", "require_approval", "review", "allow"]),
        ("Policy", "spec:\n  tests:\n  - {expect: {effect: r", ["deny", "require_approval", "review", "allow"]),
        (
            "Integration",
            "kind: Integration\nspec:\n  connector: http\n  auth: {scheme: ",
            ["bearer", "basic", "header", "mtls", "oauth2"],
        ),
        ("Policy", '{"kind": "Policy", "spec": {"', ["rules", "tests", "default"]),
        ("Policy", '{"kind": "', ["Policy"]),
    ],
)
def test_the_schema_says_what_may_follow(kind: str, text: str, expected: list[str]) -> None:
    assert words(kind, text) == expected


def test_members_that_are_written_are_not_suggested_again() -> None:
    found = words("Policy", "spec:\n  rules:\n    - id: a\n      when: 'true'\n      ")
    assert "effect" in found
    assert not {"id", "when"} & set(found)


def test_the_connector_chooses_the_members() -> None:
    text = "kind: Integration\nspec:\n  connector: {}\n  "
    assert "base_url" in words("Integration", text.format("http"))
    assert "base_url" not in words("Integration", text.format("workflow"))
    assert "Overlay" in words("document", "kind: Ov")


@pytest.mark.parametrize(
    "text",
    [
        "]]]",
        "spec: &a [*a, {r",
        "{" * 100_000,
        "- " * 50_000,
        "kind: !!python/object:os.system {",
        "\ud800",
        "a: b: c: ",
    ],
)
def test_unreadable_text_has_no_suggestions(text: str) -> None:
    assert words("Policy", text) == []


def test_long_text_is_not_read() -> None:
    assert words("Policy", "#" * MOST_CHARACTERS + "\nkind: ") == []


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "https://example.com/x"}]}},
    }
    assert suggestions("a: ", schema) == []
