"""Operations of the OpenAPI document and the schemas of their answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jsonschema_rs

from threada_site.api.documentation.pages import openapi_schema
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import REASONS

PROBLEM_TYPE: Final = "application/problem+json"
PROBLEM_MEMBERS: Final = {
    "type",
    "title",
    "status",
    "detail",
    "category",
    "reason_code",
    "correlation_id",
    "errors",
}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi_schema()


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    raw: dict[str, Any]

    def __str__(self) -> str:
        return str(self.raw.get("operationId", f"{self.method} {self.path}"))

    @property
    def variables(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def is_public(self) -> bool:
        return not any("bearer" in requirement for requirement in self.raw["security"])

    @property
    def scope(self) -> Scope | None:
        """Return the required scope, or None."""
        (requirement,) = self.raw["security"]
        scopes = requirement["bearer"]
        return Scope(scopes[0]) if scopes else None

    @property
    def body(self) -> Any:
        """Return the example body, or None if the operation takes none."""
        content = self.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
        return content.get("example", {}) if content else None

    def at(self, values: dict[str, str]) -> str:
        """Return the path with its variables filled in."""
        return self.path.format(**values)

    def documented_reasons(self, status: int) -> set[str]:
        """Return the documented reason codes of this status."""
        content = self.raw["responses"].get(str(status), {}).get("content", {})
        return {code for form in content.values() for code in form.get("examples", {})}


def operations() -> list[Operation]:
    """Return all operations in the order of the document."""
    return [
        Operation(method.upper(), path, raw)
        for path, methods in document()["paths"].items()
        for method, raw in methods.items()
    ]


def in_tenants() -> list[Operation]:
    """Return the operations that need a credential."""
    return [operation for operation in operations() if not operation.is_public]


def resolved(node: Any) -> Any:
    """Return `node` itself, or the target of its `$ref`."""
    while isinstance(node, dict) and "$ref" in node:
        found: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of a schema of the document, including references."""
    return _validator(json.dumps(schema))


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    root = {"components": document()["components"], "allOf": [json.loads(schema)]}
    return jsonschema_rs.Draft202012Validator(root, validate_formats=True, offline=True)


@cache
def _problem_validator() -> jsonschema_rs.Draft202012Validator:
    return validator({"$ref": "#/components/schemas/Problem"})


def check_problem(answer: Any, status: int, reason_code: str, *, operation: Operation | None = None) -> dict[str, Any]:
    """Check that `answer` is a documented problem with this status and code: headers, members and types."""
    assert answer.headers["Content-Type"] == PROBLEM_TYPE, (answer.status_code, answer.content[:300])
    body = answer.json()
    assert (answer.status_code, body["reason_code"]) == (status, reason_code), body
    assert body.keys() - {"reasons"} == PROBLEM_MEMBERS
    assert _problem_validator().is_valid(body), body
    assert body["status"] == status
    assert answer.headers["Threada-Correlation-Id"] == body["correlation_id"]
    reason = REASONS[reason_code]
    assert (body["category"], body["title"]) == (reason.category.value, reason.title)
    assert body["type"] == f"/docs/reason-codes#{reason_code}"
    if operation is not None:
        assert reason_code in operation.documented_reasons(status), f"{operation} does not document {reason_code}"
    return body
