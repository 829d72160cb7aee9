"""Names of fields and parameters: times end in `_at`, principals who did something in `_by`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.contract.document import document, operations, resolved
from threada_site.kernel import ids

# Bounds of a range, and the time for which an answer holds.
_RANGES: Final = ("_after", "_before")
_WHOLE_NAMES: Final = {"at"}
# Criteria, not principals.
_CRITERIA: Final = {"group_by", "related_by"}
# Parts that principals have in a case, and principals whose part is named by the field around them.
_PARTS: Final = {
    "requester",
    "assignee",
    "delegator",
    "delegate",
    "stands_for",
    "parties",
    "principal",
    "principal_id",
    "principals",
}


def _fields(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and schema of every property in `node`, references left alone."""
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from ((name, schema) for name, schema in properties.items() if isinstance(schema, dict))
        for part in node.values():
            yield from _fields(part)
    elif isinstance(node, list):
        for part in node:
            yield from _fields(part)


def _all() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, name and schema of every field and query parameter."""
    for name, schema in document()["components"]["schemas"].items():
        yield from ((name, field, of) for field, of in _fields(schema))
    for operation in operations():
        for parameter in map(resolved, operation.raw.get("parameters", ())):
            if parameter["in"] == "query":
                yield str(operation), parameter["name"], parameter["schema"]


def _forms(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schema itself, its alternatives and its items."""
    yield schema
    for part in (*schema.get("anyOf", ()), schema.get("items")):
        if isinstance(part, dict):
            yield from _forms(part)


def _types(schema: dict[str, Any]) -> list[str]:
    named = schema.get("type", "enum" if "enum" in schema else "array" if "anyOf" in schema else "any")
    return [named] if isinstance(named, str) else named


def offender(name: str, schema: dict[str, Any]) -> str | None:
    """Return what is wrong with the name of a field, or None."""
    if schema.get("deprecated") or schema.get("readOnly"):
        return None
    is_time = any(form.get("format") == "date-time" for form in _forms(schema))
    is_principal = any(f"^{ids.PRINCIPAL}_" in form.get("pattern", "") for form in _forms(schema))
    is_text = {named for form in _forms(schema) for named in _types(form)} <= {"string", "null", "array"}
    if is_time and not (name.endswith(("_at", *_RANGES)) or name in _WHOLE_NAMES):
        return "is a time and does not end in _at"
    if name.endswith("_at") and not is_time:
        return "ends in _at and is no time"
    if is_principal and not (name.endswith("_by") or name in _PARTS):
        return "is a principal and does not end in _by"
    if name.endswith("_by") and name not in _CRITERIA and (is_time or not is_text):
        return "ends in _by and is no principal"
    return None


def test_names_say_what_is_a_time_and_what_a_principal() -> None:
    found = [(place, name, wrong) for place, name, of in _all() if (wrong := offender(name, of))]
    assert found == []
