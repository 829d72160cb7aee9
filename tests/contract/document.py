"""The operations of the OpenAPI document, and what it says about their answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jsonschema_rs

from threada_site.api.documentation import openapi_schema
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
    """The whole document."""
    return openapi_schema()


@dataclass(frozen=True)
class Operation:
    """One method of one path, as documented."""

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
        return self.raw["security"] == []

    @property
    def scope(self) -> Scope | None:
        """The scope it needs, if any."""
        (requirement,) = self.raw["security"]
        scopes = requirement["bearer"]
        return Scope(scopes[0]) if scopes else None

    @property
    def body(self) -> Any:
        """The example body, or None where it takes none."""
        content = self.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
        return content.get("example", {}) if content else None

    def at(self, values: dict[str, str]) -> str:
        """Its path with the variables filled in."""
        return self.path.format(**values)

    def documented_reasons(self, status: int) -> set[str]:
        """The reason codes it may answer with this status."""
        answer = self.raw["responses"].get(str(status), {})
        return set(answer.get("content", {}).get(PROBLEM_TYPE, {}).get("examples", {}))


def operations() -> list[Operation]:
    """All of them, in the document's order."""
    return [
        Operation(method.upper(), path, raw)
        for path, methods in document()["paths"].items()
        for method, raw in methods.items()
    ]


def in_tenants() -> list[Operation]:
    """Those that ask for a credential."""
    return [operation for operation in operations() if not operation.is_public]


def resolved(node: Any) -> Any:
    """`node` itself, or what its `$ref` points to."""
    while isinstance(node, dict) and "$ref" in node:
        found: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """A validator of a schema of the document, its references included."""
    root = {"components": document()["components"], "allOf": [schema]}
    return jsonschema_rs.Draft202012Validator(root, validate_formats=True, offline=True)


@cache
def _problem_validator() -> jsonschema_rs.Draft202012Validator:
    return validator({"$ref": "#/components/schemas/Problem"})


def check_problem(answer: Any, status: int, reason_code: str, *, operation: Operation | None = None) -> dict[str, Any]:
    """Hold `answer` to a problem with this status and code: form, members, headers, and that it is documented."""
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
