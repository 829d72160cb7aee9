"""Actions of an integration from an OpenAPI document. Pure: no reference is fetched, and no schema of it is copied.

Each operation becomes an action whose path, query and body come from the input of the execution. Only references within
the document are followed, one level deep and for parameters, so that a document cannot grow when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError

MOST_CHARACTERS: Final = 1_000_000
MOST_OPERATIONS: Final = 500
MOST_CHOSEN: Final = 50
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_TYPES: Final = ("string", "integer", "number", "boolean")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `action` is the action as a document says it."""

    id: str
    method: str
    path: str
    about: str
    action: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpenApiImport:
    """Address and operations. `base_url` is "" if the document names none with a host."""

    base_url: str
    operations: tuple[Operation, ...]


def read_openapi(text: str) -> OpenApiImport:
    """Return the operations of a document in YAML or JSON. Raises `DocumentInvalid`."""
    if len(text) > MOST_CHARACTERS:
        raise _refusal(f"The document is longer than {MOST_CHARACTERS} characters.")
    documents = load_documents(text, source="document")
    value = documents[0].value if len(documents) == 1 else None
    if not isinstance(value, dict) or not str(value.get("openapi", "")).startswith("3."):
        raise _refusal("Paste one OpenAPI document of version 3.")
    found: dict[str, Operation] = {}
    for operation in _operations(value):
        found.setdefault(operation.id, operation)
        if len(found) >= MOST_OPERATIONS:
            break
    if not found:
        raise _refusal("The document has no operation that can be an action.")
    return OpenApiImport(_base_url(value), tuple(found.values()))


def integration_document(
    read: OpenApiImport, chosen: list[str], *, slug: str, name: str, **spec: Any
) -> dict[str, Any]:
    """Return the integration with the chosen operations. `spec` contains `base_url`, and `auth` if there is one."""
    actions = {operation.id: dict(operation.action) for operation in read.operations if operation.id in chosen}
    if not actions or len(actions) > MOST_CHOSEN:
        raise _refusal(f"Choose 1 to {MOST_CHOSEN} operations.")
    whole = {"connector": "http", **spec, "actions": actions}
    return {"kind": "Integration", "id": slug, **({"name": name} if name else {}), "spec": whole}


def _operations(value: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in _object(value.get("paths")).items():
        if not path.startswith("/") or "${" in path or not isinstance(item, dict):
            continue
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                yield _operation(value, path, method, item, operation)


def _operation(
    value: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Operation:
    members: dict[str, Any] = {}
    query: dict[str, str] = {}
    required = []
    for parameter in _parameters(value, [*_list(item.get("parameters")), *_list(operation.get("parameters"))]):
        name = str(parameter.get("name", ""))
        if not _NAME.fullmatch(name) or parameter.get("in") not in ("path", "query"):
            continue
        kind = _object(parameter.get("schema")).get("type")
        members[name] = {"type": kind if kind in _TYPES else "string"}
        if parameter["in"] == "path" or parameter.get("required") is True:
            required.append(name)
        if parameter["in"] == "query" and parameter.get("required") is True:
            query[name] = f"${{input.{name}}}"
    for name in _PLACEHOLDER.findall(path):
        if _NAME.fullmatch(name):
            members.setdefault(name, {"type": "string"})
            required.append(name)
    action: dict[str, Any] = {"method": method.upper(), "path": _PLACEHOLDER.sub(_expression, path)}
    if query:
        action["query"] = query
    if "requestBody" in operation and method != "get":
        members["body"] = {"type": "object"}
        required.append("body")
        action["body"] = "${input.body}"
    if members:
        shape = {"type": "object", "properties": members, "additionalProperties": False}
        action["input_schema"] = {**shape, "required": sorted(set(required))}
    about = str(operation.get("summary") or operation.get("description") or "")[:200]
    return Operation(_slug(operation, method, path), method.upper(), path, about, action)


def _expression(match: re.Match[str]) -> str:
    return f"${{input.{match[1]}}}" if _NAME.fullmatch(match[1]) else "x"


def _parameters(value: Mapping[str, Any], parameters: list[Any]) -> Iterator[Mapping[str, Any]]:
    known = _object(_object(value.get("components")).get("parameters"))
    for written in parameters[:100]:
        target = written.get("$ref") if isinstance(written, dict) else None
        name = target.removeprefix("#/components/parameters/") if isinstance(target, str) else ""
        parameter = known.get(name) if name else written
        if isinstance(parameter, dict) and "$ref" not in parameter:
            yield parameter


def _slug(operation: Mapping[str, Any], method: str, path: str) -> str:
    """Return the name of the action: the operation's id, or method and path."""
    text = str(operation.get("operationId") or f"{method}_{path}")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:200])
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:63] or "action"


def _base_url(value: Mapping[str, Any]) -> str:
    servers = _list(value.get("servers"))
    url = str(_object(servers[0]).get("url", "")) if servers else ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_usable = parts.scheme in ("http", "https") and parts.hostname and "{" not in url and "@" not in url
    return url.rstrip("/") if is_usable else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refusal(detail: str) -> DocumentInvalid:
    return DocumentInvalid(detail, errors=[FieldError("", detail, "invalid")])
