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

from tests.contract.document import PROBLEM_TYPE, Operation, document, operations, resolved, validator
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import REASONS

OPERATIONS = operations()
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)

# Table of the HTTP contract: operations and their scopes.
CONTRACT: Final = {
    "POST /work-items": "workitems:write",
    "GET /work-items": "workitems:read",
    "GET /work-items/{work_item_id}": "workitems:read",
    "PATCH /work-items/{work_item_id}": "workitems:write",
    "POST /work-items/{work_item_id}/cancel": "workitems:write",
    "POST /work-items/{work_item_id}/resolve": "workitems:write",
    "GET /work-items/{work_item_id}/timeline": "workitems:read",
    "GET /work-items/{work_item_id}/explain": "workitems:read",
    "GET /work-items/{work_item_id}/comments": "workitems:read",
    "POST /work-items/{work_item_id}/comments": "workitems:read",
    "GET /work-items/{work_item_id}/comments/{comment_id}": "workitems:read",
    "PATCH /work-items/{work_item_id}/comments/{comment_id}": "workitems:read",
    "DELETE /work-items/{work_item_id}/comments/{comment_id}": "workitems:read",
    "GET /work-items/{work_item_id}/questions": "workitems:read",
    "POST /work-items/{work_item_id}/questions": "decisions:decide",
    "GET /work-items/{work_item_id}/questions/{question_id}": "workitems:read",
    "POST /work-items/{work_item_id}/questions/{question_id}/answer": "workitems:write",
    "POST /work-items/{work_item_id}/questions/{question_id}/withdraw": "workitems:read",
    "GET /work-items/{work_item_id}/watch": "workitems:read",
    "PUT /work-items/{work_item_id}/watch": "workitems:read",
    "DELETE /work-items/{work_item_id}/watch": "workitems:read",
    "GET /decision-steps": "workitems:read",
    "GET /decision-steps/{decision_step_id}": "workitems:read",
    "POST /decision-steps/{decision_step_id}/votes": "decisions:decide",
    "POST /decision-steps/batch-votes": "decisions:decide",
    "POST /decision-steps/{decision_step_id}/changes": "decisions:decide",
    "POST /decision-steps/{decision_step_id}/claim": "decisions:decide",
    "POST /decision-steps/{decision_step_id}/release": "decisions:decide",
    "POST /decision-steps/{decision_step_id}/reassign": "decisions:decide",
    "POST /decision-steps/{decision_step_id}/escalate": "decisions:decide",
    "GET /permits": "workitems:read",
    "GET /permits/{permit_id}": "workitems:read",
    "POST /permits/{permit_id}/approve": "decisions:decide",
    "POST /permits/{permit_id}/narrow": "decisions:decide",
    "POST /permits/{permit_id}/revoke": "decisions:decide",
    "GET /delegations": "workitems:read",
    "POST /delegations": "decisions:decide",
    "GET /delegations/{delegation_id}": "workitems:read",
    "POST /delegations/{delegation_id}/confirm": "workflow:manage",
    "POST /delegations/{delegation_id}/consent": "decisions:decide",
    "POST /delegations/{delegation_id}/end": "decisions:decide",
    "POST /actions/execute": "actions:execute",
    "POST /executions/{execution_id}/cancel": "actions:execute",
    "POST /executions/{execution_id}/retry": "actions:execute",
    "GET /freezes": "actions:freeze",
    "POST /freezes": None,
    "GET /freezes/{freeze_id}": "actions:freeze",
    "POST /freezes/{freeze_id}/lift": "integrations:manage",
    "GET /integrations/{integration_id}/health": "workitems:read",
    "POST /executions/{execution_id}/undo": "actions:execute",
    "POST /executions/replays": "actions:execute",
    "POST /executions/{execution_id}/reconcile": "actions:execute",
    "GET /executions": "workitems:read",
    "GET /executions/{execution_id}": "workitems:read",
    "GET /policy-decisions/{policy_decision_id}": "workitems:read",
    "GET /policies/effective": "workitems:read",
    "GET /workflows": "workitems:read",
    "POST /workflows": "workflow:manage",
    "GET /workflows/{workflow_id}": "workitems:read",
    "PUT /workflows/{workflow_id}": "workflow:manage",
    "PATCH /workflows/{workflow_id}": "workflow:manage",
    "DELETE /workflows/{workflow_id}": "workflow:manage",
    "GET /workflows/{workflow_id}/versions": "workitems:read",
    "POST /workflows/{workflow_id}/versions": "workflow:manage",
    "GET /change-sets": None,
    "GET /change-sets/{change_set_id}": None,
    "POST /change-sets/{change_set_id}/publish": None,
    "POST /change-sets/{change_set_id}/reject": None,
    "GET /packs": "workitems:read",
    "POST /packs": "workflow:manage",
    "POST /telemetry/deliveries/{delivery_id}/test": "integrations:manage",
    "POST /telemetry/deliveries/{delivery_id}/resend": "integrations:manage",
    "GET /telemetry/deliveries/{delivery_id}/attempts": "telemetry:read",
    "POST /configuration/plan": "configuration:write",
    "POST /configuration/apply": "configuration:write",
    "GET /packs/{pack_id}": "workitems:read",
    "PUT /packs/{pack_id}": "workflow:manage",
    "DELETE /packs/{pack_id}": "workflow:manage",
    "GET /packs/{pack_id}/versions": "workitems:read",
    "GET /workflows/{workflow_id}/source": "workitems:read",
    "GET /policies/{policy_id}/versions/{version}/source": "workitems:read",
    "GET /lists/{list_id}/source": "workitems:read",
    "GET /integrations/{integration_id}/source": "workitems:read",
    "GET /channels": "workitems:read",
    "POST /channels": "workflow:manage",
    "GET /channels/{channel_id}": "workitems:read",
    "PUT /channels/{channel_id}": "workflow:manage",
    "PATCH /channels/{channel_id}": "workflow:manage",
    "DELETE /channels/{channel_id}": "workflow:manage",
    "GET /policies": "workitems:read",
    "POST /policies": "policies:write",
    "GET /policies/{policy_id}": "workitems:read",
    "DELETE /policies/{policy_id}": "policies:publish",
    "GET /policies/{policy_id}/versions": "workitems:read",
    "POST /policies/{policy_id}/versions": "policies:write",
    "GET /policies/{policy_id}/versions/{version}": "workitems:read",
    "PATCH /policies/{policy_id}/versions/{version}": "policies:write",
    "PUT /policies/{policy_id}/versions/{version}": "policies:write",
    "DELETE /policies/{policy_id}/versions/{version}": "policies:write",
    "POST /policies/{policy_id}/versions/{version}/validate": "policies:write",
    "POST /policies/{policy_id}/versions/{version}/simulate": "policies:write",
    "POST /policies/{policy_id}/versions/{version}/replay": "policies:write",
    "GET /policy-replays": "workitems:read",
    "GET /policy-replays/{policy_replay_id}": "workitems:read",
    "GET /policy-replays/{policy_replay_id}/report": "workitems:read",
    "POST /policy-replays/{policy_replay_id}/cancel": "policies:write",
    "POST /policy-replays/{policy_replay_id}/resume": "policies:write",
    "POST /policies/{policy_id}/versions/{version}/shadow": "policies:write",
    "GET /policy-shadows": "workitems:read",
    "GET /policy-shadows/{policy_shadow_id}": "workitems:read",
    "POST /policy-shadows/{policy_shadow_id}/end": "policies:write",
    "POST /policies/{policy_id}/versions/{version}/publish": "policies:publish",
    "POST /policies/{policy_id}/versions/{version}/retire": "policies:publish",
    "POST /policies/{policy_id}/versions/{version}/confirm-emergency": "policies:publish",
    "POST /policies/{policy_id}/versions/{version}/end-emergency": "policies:publish",
    "POST /attachments": "workitems:read",
    "GET /attachments/{attachment_id}": "workitems:read",
    "GET /attachments/{attachment_id}/content": "workitems:read",
    "GET /overlays": "workitems:read",
    "POST /overlays": "policies:publish",
    "DELETE /overlays/{overlay_id}": "policies:publish",
    "PUT /overlays/{overlay_id}": "policies:publish",
    "PATCH /overlays/{overlay_id}": "policies:publish",
    "GET /integrations": "workitems:read",
    "POST /integrations": "integrations:manage",
    "GET /integrations/{integration_id}": "workitems:read",
    "PUT /integrations/{integration_id}": "integrations:manage",
    "PATCH /integrations/{integration_id}": "integrations:manage",
    "DELETE /integrations/{integration_id}": "integrations:manage",
    "POST /integrations/{integration_id}/test": "integrations:manage",
    "GET /integrations/{integration_id}/tests/{integration_test_id}": "integrations:manage",
    "GET /integrations/{integration_id}/tools": "workitems:read",
    "POST /integrations/{integration_id}/tools/read": "integrations:manage",
    "POST /integrations/{integration_id}/tools/accept": "integrations:manage",
    "POST /callbacks/{callback_id}": None,
    "GET /secrets": "integrations:manage",
    "POST /secrets": "integrations:manage",
    "GET /secrets/{secret_id}": "integrations:manage",
    "POST /secrets/{secret_id}/remove": "integrations:manage",
    "GET /telemetry/events": "telemetry:read",
    "GET /telemetry/summary": "telemetry:read",
    "GET /usage": "telemetry:read",
    "GET /telemetry/deliveries": "telemetry:read",
    "POST /telemetry/deliveries": "integrations:manage",
    "GET /telemetry/deliveries/{delivery_id}": "telemetry:read",
    "POST /telemetry/deliveries/{delivery_id}/pause": "integrations:manage",
    "POST /telemetry/deliveries/{delivery_id}/resume": "integrations:manage",
    "POST /telemetry/deliveries/{delivery_id}/remove": "integrations:manage",
    "POST /telemetry/exports": "telemetry:read",
    "GET /telemetry/exports": "telemetry:read",
    "POST /telemetry/exports/{export_id}/cancel": "telemetry:read",
    "POST /telemetry/exports/{export_id}/retry": "telemetry:read",
    "GET /telemetry/exports/{export_id}": "telemetry:read",
    "GET /telemetry/exports/{export_id}/download": "telemetry:read",
    "GET /telemetry/exports/{export_id}/evidence": "telemetry:read",
    "GET /telemetry/verifier": "telemetry:read",
    "GET /receipts/{receipt_id}": "telemetry:read",
    "GET /receipts/{receipt_id}/proof": "telemetry:read",
    "GET /checkpoints": "telemetry:read",
    "GET /checkpoints/instance": "telemetry:read",
    "GET /four-eyes": "workitems:read",
    "POST /four-eyes": "workflow:manage",
    "GET /grants": "workflow:manage",
    "GET /trusted-issuers": "workflow:manage",
    "GET /trusted-issuers/{trusted_issuer_id}": "workflow:manage",
    "PUT /trusted-issuers/{trusted_issuer_id}": "workflow:manage",
    "PATCH /trusted-issuers/{trusted_issuer_id}": "workflow:manage",
    "POST /trusted-issuers": "workflow:manage",
    "DELETE /trusted-issuers/{trusted_issuer_id}": "workflow:manage",
    "GET /workflows/{workflow_id}/grants/{principal}": "workflow:manage",
    "GET /integrations/{integration_id}/grants/{principal}": "workflow:manage",
    "PUT /workflows/{workflow_id}/grants/{principal}": "workflow:manage",
    "PUT /integrations/{integration_id}/grants/{principal}": "workflow:manage",
    "DELETE /workflows/{workflow_id}/grants/{principal}": "workflow:manage",
    "DELETE /integrations/{integration_id}/grants/{principal}": "workflow:manage",
    "GET /identity-providers": "workflow:manage",
    "GET /identity-providers/{identity_provider_id}": "workflow:manage",
    "PUT /identity-providers/{identity_provider_id}": "workflow:manage",
    "PATCH /identity-providers/{identity_provider_id}": "workflow:manage",
    "POST /identity-providers": "workflow:manage",
    "DELETE /identity-providers/{identity_provider_id}": "workflow:manage",
    "POST /identity-providers/{identity_provider_id}/confirm-links": "workflow:manage",
    "POST /work-items/batch": "workitems:write",
    "GET /overlays/{overlay_id}": "workitems:read",
    "GET /workflows/{workflow_id}/versions/{workflow_version}": "workitems:read",
    "GET /integrations/{integration_id}/versions": "workitems:read",
    "GET /integrations/{integration_id}/versions/{integration_version}": "workitems:read",
    "GET /principals": "workitems:read",
    "POST /principals": "workflow:manage",
    "GET /principals/{principal}": "workitems:read",
    "DELETE /principals/{principal}": "workflow:manage",
    "POST /principals/{principal}/roles": "workflow:manage",
    "POST /principals/{principal}/owner": "workflow:manage",
    "POST /principals/{principal}/invite": "workflow:manage",
    "GET /credentials": "workflow:manage",
    "POST /credentials": "workflow:manage",
    "GET /credentials/{credential_id}": "workflow:manage",
    "POST /credentials/{credential_id}/revoke": "workflow:manage",
    "GET /roles": "workitems:read",
    "POST /roles": "workflow:manage",
    "GET /roles/{role_id}": "workitems:read",
    "PUT /roles/{role_id}": "workflow:manage",
    "PATCH /roles/{role_id}": "workflow:manage",
    "DELETE /roles/{role_id}": "workflow:manage",
    "GET /groups": "workitems:read",
    "POST /groups": "workflow:manage",
    "GET /groups/{group_id}": "workitems:read",
    "PUT /groups/{group_id}": "workflow:manage",
    "PATCH /groups/{group_id}": "workflow:manage",
    "DELETE /groups/{group_id}": "workflow:manage",
    "GET /lists": "workitems:read",
    "POST /lists": "policies:publish",
    "GET /lists/{list_id}": "workitems:read",
    "PUT /lists/{list_id}": "policies:publish",
    "PATCH /lists/{list_id}": "policies:publish",
    "DELETE /lists/{list_id}": "policies:publish",
    "GET /retention": "workflow:manage",
    "POST /retention": "workflow:manage",
    "GET /retention/{retention_rule_id}": "workflow:manage",
    "PUT /retention/{retention_rule_id}": "workflow:manage",
    "PATCH /retention/{retention_rule_id}": "workflow:manage",
    "DELETE /retention/{retention_rule_id}": "workflow:manage",
    "GET /retention-runs": "workflow:manage",
    "POST /retention-runs": "workflow:manage",
    "GET /retention-runs/{retention_run_id}": "workflow:manage",
    "GET /tenant-deletion": "workflow:manage",
    "POST /tenant-deletion": "workflow:manage",
    "POST /tenant-deletion/withdraw": "workflow:manage",
    "GET /access-reviews": "telemetry:read",
    "GET /access-reviews/{access_review_id}": "telemetry:read",
    "GET /access-reviews/{access_review_id}/entries": "telemetry:read",
    "POST /access-review-entries/{access_review_entry_id}/attest": "workflow:manage",
    "GET /proofs": "telemetry:read",
    "POST /proofs": "workflow:manage",
    "GET /proofs/{proof_id}": "telemetry:read",
    "GET /legal-holds": "workflow:manage",
    "POST /legal-holds": "workflow:manage",
    "GET /legal-holds/{legal_hold_id}": "workflow:manage",
    "POST /legal-holds/{legal_hold_id}/lift": "workflow:manage",
    "GET /me": None,
    "GET /me/notification-preferences": None,
    "PATCH /me/notification-preferences": None,
    "GET /healthz": None,
    "GET /.well-known/oauth-protected-resource": None,
    "GET /.well-known/oauth-authorization-server": None,
    "POST /token": None,
    "GET /readyz": None,
    "GET /metrics": None,
    "GET /schemas/{kind}.json": None,
}
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
    assert scopes == {address: Scope(scope) if scope else None for address, scope in CONTRACT.items()}
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
