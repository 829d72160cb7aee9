"""Checks of the structure of documents against JSON Schema (2020-12), with a plain sentence for every error.

A subschema can contain `errorMessage`, the sentence for its errors, which editors show too; other errors get a sentence
from their keyword. `title` is the noun for a value out of a list of values. `not: {}` forbids a field. `noFraction`
refuses 1.0 where a whole number is expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

import jsonschema_rs

from threada_site.kernel.documents.field_errors import MAX_FIELD_ERRORS, FieldErrors, nearest, suggestion
from threada_site.kernel.errors import FieldError
from threada_site.kernel.ids import SLUG_PATTERN
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.json.schemas import field_names, shortened

type Schema = dict[str, Any]

SLUG: Final[Schema] = {
    "type": "string",
    "pattern": f"^{SLUG_PATTERN}$",
    "errorMessage": "Give it an id of a to z, 0 to 9, _ and -, 63 characters at most.",
}
_MOST_ELEMENTS: Final = 10_001
"""Entries of one list or object that are checked; a schema allows no more than 10,000."""
_TYPES: Final = {
    "string": "text",
    "object": "an object",
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
_CODES: Final = {
    "type": "wrong_type",
    "noFraction": "wrong_type",
    "maxItems": "too_large",
    "maxLength": "too_large",
    "maxProperties": "too_large",
}
_COMBINATIONS: Final = frozenset({"anyOf", "oneOf"})


class Structure:
    """A JSON Schema with its validator, which is compiled when it is first used."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def check(self, value: Any, pointer: str = "") -> FieldErrors:
        """Return the errors in `value`, which is at `pointer` of its document. One field has at most one error."""
        if self._validator.is_valid(value):
            return FieldErrors()
        found: dict[str, FieldError] = {}
        cut = shortened(value, most=_MOST_ELEMENTS, known=self._names)
        errors = sorted(self._validator.iter_errors(cut), key=_rank)
        for error in _without_consequences(errors):
            for entry in self._entries(error, pointer):
                found.setdefault(entry.pointer, entry)
            if len(found) >= MAX_FIELD_ERRORS:
                break
        # An error that has no sentence, or that lies in a part that was cut off, still refuses the document.
        return FieldErrors(found.values() or [FieldError(pointer, f"{_name([])} is invalid.")])

    @cached_property
    def _names(self) -> frozenset[str]:
        """Names of all fields anywhere in the schema."""
        return frozenset(field_names(self.schema))

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(
            self.schema, validate_formats=True, offline=True, keywords={"noFraction": _NoFraction}
        )

    def _entries(self, error: jsonschema_rs.ValidationError, pointer: str) -> Iterator[FieldError]:
        kind: Any = error.kind  # its attributes depend on its name
        node = self._node(error.schema_path[:-1])
        place = pointer_to(pointer, *error.instance_path)
        if kind.name == "required":
            member = self._resolved(node.get("properties", {}).get(kind.property, {}))
            said = member.get("errorMessage") or f"{kind.property} is required."
            yield FieldError(pointer_to(place, kind.property), said, "required")
        elif kind.name == "additionalProperties":
            known = self.known_fields(node)
            for name in _unknown(error):
                said = f"There is no field {name[:40]!r} here.{suggestion(name, known) if known else ''}"
                if "patternProperties" in node:
                    said = f"{name[:40]!r} is not a valid name. {node.get('errorMessage', '')}".rstrip()
                yield FieldError(pointer_to(place, name), said, "unknown_field")
        elif kind.name == "propertyNames":
            name = str(kind.error.instance)
            said = node.get("errorMessage") or f"{name[:40]!r} is not a valid name."
            yield FieldError(pointer_to(place, name), said)
        elif kind.name == "uniqueItems":
            for index, element in _repeated(error.instance):
                yield FieldError(pointer_to(place, index), f"{str(element)[:40]!r} is listed twice.", "repeated")
        else:
            yield FieldError(place, _sentence(error, node), _CODES.get(kind.name, "invalid"))

    @staticmethod
    def known_fields(node: Schema) -> list[str]:
        """Return the fields that an object may have."""
        return [name for name, schema in node.get("properties", {}).items() if schema.get("not") != {}]

    def _node(self, path: Iterable[str | int]) -> Schema:
        node: Any = self.schema
        for key in path:
            node = node[key]
        return self._resolved(node)

    def _resolved(self, node: Schema) -> Schema:
        """Return `node` with what it refers to; its own keywords win."""
        reference = node.get("$ref")
        return node if reference is None else {**self._node(reference.removeprefix("#/").split("/")), **node}


class _NoFraction:
    """Validator of the keyword `noFraction`: JSON Schema takes 1.0 for a whole number."""

    def __init__(self, parent: Schema, value: Any, path: list[str | int]) -> None:
        pass

    def validate(self, instance: Any) -> None:
        if isinstance(instance, float):
            raise ValueError("has a fraction")  # noqa: TRY004 - the validator expects this type


def whole_number(lowest: int, highest: int, **more: Any) -> Schema:
    """Return the schema of a whole number, written without a fraction."""
    return {"type": "integer", "noFraction": True, "minimum": lowest, "maximum": highest, **more}


def text(longest: int, **more: Any) -> Schema:
    """Return the schema of a text of at most `longest` characters."""
    return {"type": "string", "maxLength": longest, **more}


def closed_object(properties: Schema, *, required: Iterable[str] = (), **more: Any) -> Schema:
    """Return the schema of an object that has these properties and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False, **more}


def _rank(error: jsonschema_rs.ValidationError) -> int:
    """Return the order of errors at one place: a wrong type causes the others, a combination is the least precise."""
    name = error.kind.name
    return 0 if name == "type" else 2 if name in _COMBINATIONS else 1


def _without_consequences(errors: list[jsonschema_rs.ValidationError]) -> Iterator[jsonschema_rs.ValidationError]:
    """Leave out errors that an unknown field causes: a missing field that it misspells, and too many fields."""
    misspelt = {(pointer_to("", *error.instance_path), name) for error in errors for name in _unknown(error)}
    for error in errors:
        wanted = list(_missing(error))
        place = pointer_to("", *error.instance_path)
        names = [name for at, name in misspelt if at == place]
        if not (names and error.kind.name == "maxProperties") and not any(nearest(name, wanted) for name in names):
            yield error


def _unknown(error: jsonschema_rs.ValidationError) -> list[str]:
    kind: Any = error.kind
    return list(kind.unexpected[:MAX_FIELD_ERRORS]) if kind.name == "additionalProperties" else []


def _missing(error: jsonschema_rs.ValidationError) -> Iterator[str]:
    kind: Any = error.kind
    if kind.name == "required":
        yield kind.property
    elif kind.name in _COMBINATIONS:
        for branch in kind.context:
            for inner in branch:
                yield from _missing(inner)


def _repeated(elements: Any) -> Iterator[tuple[int, Any]]:
    """Return the positions and values of list elements that equal an earlier one."""
    seen: set[str] = set()
    for index, element in enumerate(elements):
        key = json.dumps(element, sort_keys=True)
        if key in seen:
            yield index, element
        seen.add(key)


def _sentence(error: jsonschema_rs.ValidationError, node: Schema) -> str:
    if "errorMessage" in node:
        return str(node["errorMessage"])
    kind: Any = error.kind
    name = _name(error.instance_path)
    match kind.name:
        case "type" | "minimum" | "maximum" | "noFraction" if "minimum" in node and "maximum" in node:
            return f"{name} must be {_TYPES[node['type']]} from {node['minimum']} to {node['maximum']}."
        case "type" if "maxLength" in node and kind.types == ["string"]:
            return f"{name} must be text of at most {node['maxLength']} characters."
        case "type":
            return f"{name} must be {' or '.join(_TYPES[one] for one in kind.types)}."
        case "enum" | "const":
            options = [str(option) for option in node.get("enum", [node.get("const")]) if option is not None]
            noun = node.get("title", name)
            return f"{str(error.instance)[:40]!r} is no {noun}.{suggestion(error.instance, options)}"
        case "maxLength":
            return f"{name} must be text of at most {kind.limit} characters."
        case "maxItems" | "maxProperties":
            return f"{name} has at most {kind.limit} entries."
        case "minItems" | "minProperties" | "minLength":
            return f"{name} must not be empty."
    return f"{name} is invalid."


def _name(path: list[str | int]) -> str:
    """Return the name of a field in sentences."""
    if not path:
        return "The document"
    return str(path[-1]) if isinstance(path[-1], str) else f"Each of {_name(path[:-1])}"
