"""The OpenAPI document is valid and complete, and every example matches its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import drf_spectacular
import jsonschema_rs
import pytest
from django.test import Client

from tests.architecture.operations import STORED
from tests.contract.document import PROBLEM_TYPE, Operation, document, operations, resolved, validator
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import REASONS

OPERATIONS = operations()
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)

CONTRACT: Final = {
    f"{method} {re.sub('<str:([a-z_]+)>', '{\\1}', path)}": scope
    for method, path, _, scope, _ in map(str.split, STORED.read_text().splitlines())
}
"""Scopes of the operations in the stored table; `-` for those that any credential, or none, calls."""
# Second media type of files, for client generators that do not know the first.
BINARY: Final = "application/octet-stream"
# Statuses that every operation in a tenant may return.
ANYWHERE: Final = {"400", "401", "403", "406", "500", "503"}


def test_the_document_is_openapi_3_1() -> None:
    assert re.fullmatch(r"3\.1\.\d", document()["openapi"])
    specification = Path(drf_spectacular.__file__).parent / "validation" / "openapi_3_1_schema.json"
    jsonschema_rs.Draft202012Validator(json.loads(specification.read_text()), offline=True).validate(document())


def test_it_is_served_as_it_is_made(client: Client) -> None:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == document()
    again = client.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_holds_the_contracts_operations_and_their_scopes() -> None:
    scopes = {
        f"{operation.method} {operation.path}": None if operation.is_public else operation.scope
        for operation in OPERATIONS
    }
    assert scopes == {address: None if scope == "-" else Scope(scope) for address, scope in CONTRACT.items()}
    assert {str(operation) for operation in OPERATIONS if operation.is_public} == {
        "getHealth",
        "getReadiness",
        "getProtectedResource",
        "getAuthorizationServer",
        "exchangeToken",
        "getMetrics",
        "getDocumentSchema",
        "receiveCallback",
    }


def test_every_field_and_parameter_is_described() -> None:
    fields = {
        f"{name}.{field}"
        for name, schema in document()["components"]["schemas"].items()
        for field, of in schema.get("properties", {}).items()
        if not ("$ref" in of or of.get("description"))
    }
    parameters = {
        f"{operation}.{parameter['name']}"
        for operation in OPERATIONS
        for parameter in operation.raw.get("parameters", [])
        if not ("$ref" in parameter or parameter.get("description"))
    }
    assert not fields | parameters


def test_tags_and_servers_are_declared() -> None:
    declared = {tag["name"]: tag["description"] for tag in document()["tags"]}
    assert {operation.raw["tags"][0] for operation in OPERATIONS} == set(declared)
    assert all(declared.values())
    assert document()["servers"]


def test_operation_ids_are_unique() -> None:
    names = [operation.raw["operationId"] for operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_schemas_of_the_document_are_json_schema() -> None:
    for name, schema in document()["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


def test_every_schema_and_example_is_used() -> None:
    text = str(document())
    unused = [
        f"#/components/{kind}/{name}"
        for kind, parts in document()["components"].items()
        if kind != "securitySchemes"
        for name in parts
        if f"'#/components/{kind}/{name}'" not in text
    ]
    assert unused == []


@every_operation
def test_an_operation_says_what_it_is(operation: Operation) -> None:
    raw = operation.raw
    assert re.fullmatch(r"[a-z]+[A-Za-z]+", raw["operationId"])
    assert raw["summary"].strip()
    assert not raw["summary"].endswith(".")
    assert len(raw["tags"]) == 1
    assert {entry["name"] for entry in map(resolved, raw["parameters"]) if entry["in"] == "path"} == set(
        operation.variables
    )
    assert all(entry["required"] for entry in map(resolved, raw["parameters"]) if entry["in"] == "path")
    headers = {entry["name"] for entry in map(resolved, raw["parameters"]) if entry["in"] == "header"}
    expected = {"Threada-Correlation-Id"}
    expected |= set() if operation.is_public else {"Threada-Tenant", "Threada-Role"}
    expected |= {"Idempotency-Key"} if operation.method == "POST" and not operation.is_public else set()
    assert headers - {"If-Match", "If-None-Match", "Prefer"} == expected
    assert ("If-Match" in headers) >= (operation.method in ("PUT", "PATCH") and str(operation) != "watchWorkItem")
    is_json = any("application/json" in answer.get("content", {}) for answer in raw["responses"].values())
    is_download = any(BINARY in answer.get("content", {}) for answer in raw["responses"].values())
    is_tagged = operation.method == "GET" and not operation.is_public and is_json and not is_download
    assert is_tagged == ("304" in raw["responses"])
    assert ("If-None-Match" in headers) >= is_tagged


@every_operation
def test_an_operation_documents_its_answers(operation: Operation) -> None:
    answers = operation.raw["responses"]
    assert any(status.startswith("2") for status in answers)
    expected = ANYWHERE - ({"401", "403"} if operation.is_public else set())
    if operation.variables:
        expected |= {"404"}
    if operation.body is not None:
        expected |= {"413", "415", "422"}
    assert expected <= answers.keys()
    for status, answer in answers.items():
        assert "Threada-Correlation-Id" in answer["headers"], status
        if status < "400":
            names = answer.get("content", {}).keys()
            assert len(names - {BINARY} or names) == (0 if status in ("204", "304") else 1), status
            continue
        if str(operation) == "exchangeToken" and "application/json" in answer["content"]:  # RFC 6749
            continue
        assert answer["content"].keys() == {PROBLEM_TYPE}
        codes = operation.documented_reasons(int(status))
        assert codes
        assert {REASONS[code].status for code in codes} == {int(status)}


def test_only_post_put_and_patch_take_a_body() -> None:
    with_body = {operation.method for operation in OPERATIONS if "requestBody" in operation.raw}
    assert with_body == {"POST", "PUT", "PATCH"}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.method in ("POST", "PUT", "PATCH")], ids=str)
def test_bodies_have_examples_that_are_valid(operation: Operation) -> None:
    content = operation.raw.get("requestBody", {}).get("content", {})
    forms = {"exchangeToken": "application/x-www-form-urlencoded", "uploadAttachment": "multipart/form-data"}
    assert ("application/merge-patch+json" in content) == (operation.method == "PATCH")
    media_type = next(iter(content))
    assert len(content) == (2 if operation.method == "PATCH" else 1)
    assert media_type == forms.get(str(operation), "application/json")
    schema = resolved(content[media_type]["schema"])
    if schema["properties"]:
        assert "example" in content[media_type]
    for example in (content[media_type].get("example", {}), *schema.get("examples", ())):
        validator(content[media_type]["schema"]).validate(example)


@every_operation
def test_examples_of_answers_are_valid(operation: Operation) -> None:
    for status, media_type, content in contents(operation):
        examples = [resolved(entry)["value"] for entry in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        check = validator(content["schema"])
        for example in examples:
            check.validate(example)
        if media_type == PROBLEM_TYPE:
            assert {example["status"] for example in examples} == {int(status)}


def contents(operation: Operation) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield status, media type and content of every answer with a body."""
    for status, answer in operation.raw["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            yield status, media_type, content
