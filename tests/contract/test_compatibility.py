"""The API has no breaking change against the committed document; every rule of the comparison finds its mutant."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from tests.contract.document import document
from threada_site.api.management.commands.write_openapi import document_path
from threada_site.api.openapi import compatibility
from threada_site.api.openapi.compatibility import breaking_changes

BASE: Final[dict[str, Any]] = {
    "paths": {
        "/items": {
            "post": {
                "operationId": "createItem",
                "security": [{"bearer": ["items:write"]}],
                "parameters": [{"in": "query", "name": "kind", "schema": {"type": "string"}}],
                "requestBody": {
                    "required": False,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Sent"}},
                        "text/plain": {"schema": {"type": "string"}},
                    },
                },
                "responses": {
                    "201": {
                        "headers": {"Location": {}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Item"}},
                            "text/csv": {"schema": {"type": "string"}},
                        },
                    },
                    "409": {"content": {"application/problem+json": {"examples": {"conflict": {}, "in_use": {}}}}},
                },
            },
            "get": {"operationId": "listItems", "responses": {"200": {"description": "Success."}}},
        }
    },
    "components": {
        "schemas": {
            "Sent": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": ["string", "null"], "maxLength": 100},
                    "state": {"enum": ["open", "done"]},
                    "code": {"type": "string"},
                    "at": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "extra": {"type": "object", "additionalProperties": True},
                },
                "additionalProperties": False,
            },
            "Item": {
                "type": "object",
                "required": ["name", "size"],
                "properties": {"name": {"type": "string"}, "size": {"type": "integer"}, "note": {"type": "string"}},
            },
        }
    },
}

type Mutation = Callable[[dict[str, Any]], object]


def post(root: dict[str, Any]) -> Any:
    return root["paths"]["/items"]["post"]


def sent(root: dict[str, Any]) -> Any:
    return root["components"]["schemas"]["Sent"]


def item(root: dict[str, Any]) -> Any:
    return root["components"]["schemas"]["Item"]


MUTANTS: Final[list[tuple[str, Mutation]]] = [
    ("operation-removed", lambda root: root["paths"]["/items"].pop("get")),
    ("operation-removed", lambda root: root["paths"].update({"/things": root["paths"].pop("/items")})),
    ("operation-renamed", lambda root: post(root).update(operationId="addItem")),
    ("scope-added", lambda root: post(root).update(security=[{"bearer": ["items:write", "items:all"]}])),
    ("parameter-removed", lambda root: post(root).update(parameters=[])),
    ("parameter-required", lambda root: post(root)["parameters"][0].update(required=True)),
    ("body-required", lambda root: post(root)["requestBody"].update(required=True)),
    ("media-type-removed", lambda root: post(root)["requestBody"]["content"].pop("text/plain")),
    ("media-type-removed", lambda root: post(root)["responses"]["201"]["content"].pop("text/csv")),
    ("status-removed", lambda root: post(root)["responses"].pop("409")),
    ("status-added", lambda root: post(root)["responses"].update({"202": {}})),
    ("header-removed", lambda root: post(root)["responses"]["201"]["headers"].pop("Location")),
    (
        "error-removed",
        lambda root: post(root)["responses"]["409"]["content"]["application/problem+json"]["examples"].pop("in_use"),
    ),
    ("field-removed", lambda root: sent(root)["properties"].pop("tags")),
    ("field-removed", lambda root: item(root)["properties"].pop("note")),
    ("field-required", lambda root: sent(root)["required"].append("code")),
    ("field-optional", lambda root: item(root)["required"].remove("size")),
    ("type-changed", lambda root: sent(root)["properties"]["name"].update(type="string")),
    ("type-changed", lambda root: sent(root)["properties"]["tags"]["items"].update(type="integer")),
    ("type-changed", lambda root: item(root)["properties"]["size"].update(type="number")),
    ("enum-narrowed", lambda root: sent(root)["properties"]["state"]["enum"].remove("done")),
    ("enum-narrowed", lambda root: sent(root)["properties"]["code"].update(enum=["a"])),
    ("bound-narrowed", lambda root: sent(root)["properties"]["name"].update(maxLength=99)),
    ("bound-narrowed", lambda root: sent(root)["properties"]["code"].update(minLength=1)),
    ("pattern-changed", lambda root: sent(root)["properties"]["code"].update(pattern="^a")),
    ("closed", lambda root: sent(root)["properties"]["extra"].update(additionalProperties=False)),
    ("format-changed", lambda root: sent(root)["properties"]["at"].update(format="date-time")),
]
COMPATIBLE: Final[list[Mutation]] = [
    lambda root: root["paths"].update({"/more": {"get": root["paths"]["/items"]["get"]}}),
    lambda root: post(root)["parameters"].append({"in": "query", "name": "more", "schema": {"type": "string"}}),
    lambda root: post(root)["responses"].update({"422": {}}),
    lambda root: post(root)["responses"]["409"]["content"]["application/problem+json"]["examples"].update(more={}),
    lambda root: sent(root)["properties"].update(more={"type": "string"}),
    lambda root: sent(root)["required"].remove("name"),
    lambda root: sent(root)["properties"]["state"]["enum"].append("late"),
    lambda root: sent(root)["properties"]["name"].update(maxLength=200),
    lambda root: sent(root)["properties"]["code"].update(type=["string", "null"]),
    lambda root: item(root)["properties"].update(more={"type": "string"}),
    lambda root: item(root)["properties"]["size"].update(minimum=0, description="Size."),
    lambda root: item(root)["required"].append("note"),
]


@pytest.mark.parametrize(("rule", "mutate"), MUTANTS)
def test_a_breaking_change_is_found(rule: str, mutate: Mutation) -> None:
    changed = copy.deepcopy(BASE)
    mutate(changed)
    assert {found.rule for found in breaking_changes(BASE, changed)} == {rule}


def test_additions_are_no_breaking_changes() -> None:
    changed = copy.deepcopy(BASE)
    for mutate in COMPATIBLE:
        mutate(changed)
    assert breaking_changes(BASE, changed) == []


def test_every_rule_is_listed_and_has_a_mutant() -> None:
    rules = set(re.findall(r'Finding\("([a-z-]+)"', Path(compatibility.__file__).read_text()))
    listed = re.findall(r"^\| `([a-z-]+)` \|", (document_path().parent / "compatibility.md").read_text(), re.MULTILINE)
    assert rules == {rule for rule, _ in MUTANTS} == set(listed)


def test_nothing_breaks_clients_of_the_committed_document() -> None:
    """After an intended change of a version that is not released: `manage.py write_openapi`, and a line in CHANGELOG."""
    committed = orjson.loads(document_path().read_bytes())
    assert [str(found) for found in breaking_changes(committed, document())] == []
