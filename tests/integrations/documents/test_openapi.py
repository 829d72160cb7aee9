"""Pasted OpenAPI documents: operations become actions; nothing is fetched, copied or expanded."""

from __future__ import annotations

import json

import pytest

from integrations.documents import read_integration
from integrations.documents.openapi import MOST_OPERATIONS, integration_document, read_openapi
from threada_site.kernel.errors import DocumentInvalid

DOCUMENT = """
openapi: 3.1.0
servers: [{url: "https://api.bank.example/v1/"}]
paths:
  /accounts/{account}/payments:
    parameters: [{$ref: "#/components/parameters/Account"}]
    post:
      operationId: createPayment
      summary: Pay <b>somebody</b>
      requestBody: {content: {application/json: {schema: {$ref: "http://169.254.169.254/latest"}}}}
    get:
      parameters:
        - {name: status, in: query, required: true, schema: {type: string}}
        - {name: page, in: query, schema: {type: integer}}
        - {$ref: "https://evil.example/parameter.yaml"}
components:
  parameters:
    Account: {name: account, in: path, required: true, schema: {type: string}}
"""


def test_operations_become_actions() -> None:
    read = read_openapi(DOCUMENT)
    assert [operation.id for operation in read.operations] == ["get_accounts_account_payments", "create_payment"]
    chosen = [operation.id for operation in read.operations]
    document = integration_document(read, chosen, slug="bank", name="Bank", base_url=read.base_url)
    actions = document["spec"]["actions"]
    assert actions["create_payment"] == {
        "method": "POST",
        "path": "/accounts/${input.account}/payments",
        "body": "${input.body}",
        "input_schema": {
            "type": "object",
            "properties": {"account": {"type": "string"}, "body": {"type": "object"}},
            "additionalProperties": False,
            "required": ["account", "body"],
        },
    }
    assert actions["get_accounts_account_payments"]["query"] == {"status": "${input.status}"}
    assert "169.254" not in json.dumps(document)
    assert "evil" not in json.dumps(document)
    read_integration(document["spec"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "openapi: 2.0",
        "swagger: '2.0'",
        "openapi: 3.1.0",
        "openapi: 3.1.0\npaths: []",
        "openapi: 3.1.0\npaths: {/a: {get: 7}, b: {get: {}}}",
        "a: &a [x]\nopenapi: 3.1.0\npaths: {/a: {get: {b: [*a, *a]}}}",
        "openapi: 3.1.0\npaths: " + "{/a: " * 100,
        "openapi: 3.1.0\npaths: {'/${item.id}': {get: {}}}",
        "x" * 1_000_001,
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        read_openapi(text)


def test_the_number_of_operations_is_bounded() -> None:
    paths = {f"/p{number}": {"get": {}} for number in range(MOST_OPERATIONS + 50)}
    read = read_openapi(json.dumps({"openapi": "3.0.0", "paths": paths}))
    assert len(read.operations) == MOST_OPERATIONS
    with pytest.raises(DocumentInvalid):
        integration_document(read, [operation.id for operation in read.operations], slug="a", name="", base_url="")
