"""Write `models.py`: the resources that the client returns, as TypedDicts, from an OpenAPI document.

python write_models.py openapi.json > src/threada_client/models.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

RESOURCES: Final = (
    "WorkItem",
    "WorkItemWithEvidence",
    "Execution",
    "ExecutionWithAttempts",
    "DecisionStep",
    "ActionAccepted",
    "VoteAnswer",
    "Explanation",
    "Event",
    "TelemetryExport",
    "Checkpoint",
    "ConfigurationApplied",
    "ConfigurationPlan",
    "ProposedChange",
    "Me",
)
_LONG: Final = 60
"""Literals with more signs get a name."""
_TYPES: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, Any]",
}


def fields_of(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, str]:
    """Return the Python type of each property."""
    required = schema.get("required", ())
    return {
        name: kind if name in required else f"NotRequired[{kind}]"
        for name, kind in ((name, type_of(value, schemas)) for name, value in schema["properties"].items())
    }


def type_of(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return the Python type of the values of a schema."""
    if "$ref" in schema:
        return type_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "enum" in schema:
        values = ", ".join(json.dumps(value) for value in schema["enum"] if value is not None)
        return f"Literal[{values}]{' | None' if None in schema['enum'] else ''}"
    alternatives = schema.get("anyOf") or [{**schema, "type": kind} for kind in _kinds(schema)]
    if len(alternatives) != 1:
        return " | ".join(dict.fromkeys(type_of(alternative, schemas) for alternative in alternatives)) or "Any"
    kind = alternatives[0].get("type", "")
    if kind == "array":
        return f"list[{type_of(schema.get('items', {}), schemas)}]"
    return _TYPES.get(kind, "Any")


def models(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the fields of each resource with their types."""
    schemas = document["components"]["schemas"]
    return {name: fields_of(schemas[name], schemas) for name in RESOURCES}


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of `models.py`."""
    yield '"""Resources of the API, written from its OpenAPI document by `write_models.py`."""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    found = models(document)
    optional = any("NotRequired" in kind for fields in found.values() for kind in fields.values())
    yield f"from typing import Any, Literal, {'NotRequired, ' if optional else ''}TypedDict"
    yield ""
    names: dict[str, str] = {}
    for name, fields in found.items():
        for field, kind in fields.items():
            if kind.startswith("Literal[") and kind.endswith("]") and len(kind) > _LONG and kind not in names:
                names[kind] = f"{name}{field.title().replace('_', '')}"
                yield f"{names[kind]} = {kind}"
    for name, fields in found.items():
        base = next((other for other in found if other != name and found[other].items() < fields.items()), "")
        yield f"\n\nclass {name}({base or 'TypedDict'}):"
        yield f'    """Resource `{name}` of the API."""\n'
        for field, kind in fields.items():
            if field not in found.get(base, ()):
                yield f"    {field}: {names.get(kind, kind)}"


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


if __name__ == "__main__":
    text = "\n".join(lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))) + "\n"
    sys.stdout.write(text)
