"""Tables of the fields of a JSON Schema, for the page docs/reference/documents.md. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from threada_site.kernel.documents.structure import Schema

_BRANCHES: Final = ("oneOf", "anyOf", "allOf")
_CONDITIONAL: Final = ("then", "else")
_ACTION_NAME: Final = "an_action"
"""Name in examples of objects whose names follow a pattern."""

type _Field = tuple[str, Schema, bool]
"""Path, schema and necessity of a field."""


def field_table(node: Schema, definitions: Schema, *, is_complete: bool = False) -> str:
    """Return the table of all fields of an object, or "" if it has none.

    Objects of `definitions` have tables of their own. `is_complete`: each line has a default and an example.
    """
    rows: dict[str, None] = {}
    listed: set[str] = set()
    for path, field, needed in _fields(node, "", definitions, ()):
        if field.get("not") == {} or (path in listed and not {"description", "$ref"} & field.keys()):
            continue  # a condition that restricts a field listed before
        listed.add(path)
        about = about_field(field, has_default=is_complete and not needed, has_example=is_complete)
        rows[f"| `{path}`{'*' if needed else ''} | {type_of(field)} | {about} |\n"] = None
    return "\n| field | value | |\n|---|---|---|\n" + "".join(rows) if rows else ""


def is_object(node: Schema) -> bool:
    """Tell if a definition has fields, and so a table of its own."""
    return bool(node.get("properties"))


def _fields(node: Schema, path: str, definitions: Schema, seen: tuple[str, ...]) -> Iterator[_Field]:
    """Yield the fields in a schema. A field of several alternatives is yielded for each of them."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if not is_object(definitions[name]) and name not in seen:
            yield from _fields(definitions[name], path, definitions, (*seen, name))
    required = node.get("required", ())
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        yield where, child, name in required
        yield from _fields(child, where, definitions, seen)
    for child, mark in _elements(node):
        yield from _fields(child, f"{path}{mark}", definitions, seen)
    for branch in (
        *(branch for key in _BRANCHES for branch in node.get(key, ())),
        *(node[key] for key in _CONDITIONAL if key in node),
    ):
        yield from _fields(branch, path, definitions, seen)


def _elements(node: Schema) -> Iterator[tuple[Schema, str]]:
    """Yield the schemas of the elements of a list, and of the values of an object, with their mark in paths."""
    for schema, mark in (
        (node.get("items"), "[]"),
        (node.get("additionalProperties"), "{}"),
        *((of, "{}") for of in node.get("patternProperties", {}).values()),
    ):
        if isinstance(schema, dict):
            yield schema, mark


def type_of(node: Schema) -> str:
    """Return the type of a field with its limits."""
    if "$ref" in node:
        return f"`{node['$ref'].rpartition('/')[2]}`"
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{option}`" if isinstance(option, str) else str(option).lower() for option in node["enum"])
    types = node.get("type", "any")
    said = " or ".join(types) if isinstance(types, list) else str(types)
    items, values = node.get("items"), node.get("additionalProperties")
    if isinstance(items, dict) and items:
        said += f" of {type_of(items)}"
    elif isinstance(values, dict) and "items" not in values:
        said += f" of {type_of(values)}"
    if "minimum" in node and "maximum" in node:
        said += f", {_number(node['minimum'])} to {_number(node['maximum'])}"
    elif "exclusiveMinimum" in node and "maximum" in node:
        said += f", above {_number(node['exclusiveMinimum'])}, {_number(node['maximum'])} at most"
    elif "maxLength" in node:
        said += f", {node['maxLength']} characters"
    elif "maxItems" in node:
        said += f", {node['maxItems']} at most"
    return said


def about_field(node: Schema, *, has_default: bool = False, has_example: bool = False) -> str:
    """Return description, default and example of a field.

    `has_default` names the default also if there is none; `has_example` makes an example if the schema has none.
    """
    said = [sentence_of(node)] if node.get("description") else []
    if "Default:" not in str(node.get("description", "")):
        if "default" in node and (has_default or node["default"] not in ("", [], {}, None)):
            said.append(f"Default: `{_json(node['default'])}`.")
        elif has_default:
            fields = node.get("properties", {})
            own = not node.get("required") and any("default" in field for field in fields.values())
            said.append("Default: those of its fields." if own else "Default: none.")
    example = _example(node) if has_example else next(iter(node.get("examples", ())), None)
    if example is not None:
        said.append(f"Example: `{_json(example)}`.")
    return " ".join(said).replace("|", "\\|").replace("\n", " ")


def sentence_of(node: Schema) -> str:
    """Return the description of a schema, with a full stop."""
    said = str(node.get("description", "")).strip()
    return said if not said or said.endswith((".", ")", "`")) else f"{said}."


def _example(node: Schema) -> Any:
    """Return the example of a schema, or one made of its parts; None if there is nothing to make one of."""
    default = node.get("default")
    if node.get("examples"):
        return node["examples"][0]
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return next((option for option in node["enum"] if option != default), default)
    if node.get("type") == "boolean":
        return not default
    if node.get("properties"):
        names = node.get("required") or list(node["properties"])[:1]
        return {name: _example(node["properties"][name]) for name in names}
    for schema, mark in _elements(node):
        inner = _example(schema)
        if inner is not None:
            return [inner] if mark == "[]" else {_ACTION_NAME: inner}
    return default


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return f"{int(value):d}" if value == int(value) else f"{value:g}"
