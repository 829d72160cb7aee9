"""Reading of payload schemas for forms: references, conditions, choices. Pure.

Only what a form can show is understood. `Inexpressible` says that a part needs the JSON editor. The validator of the
API decides about every payload, so nothing here restricts or widens what is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from policies.documents import payload_schema as payloads
from threada_site.kernel.errors import DocumentInvalid, JsonNotInteroperable
from workitems.display.fields import readable

MAX_CHOICES: Final = 500
MAX_LABEL: Final = 200
MAX_HELP: Final = 2_000
MAX_WORK: Final = 200_000
"""Keywords that are read for one form, in all of its parts; checking a condition costs more."""
_MOST_REFERENCES: Final = 20
_DEEPEST: Final = 100
"""Levels of `allOf` and references within each other."""
_COST_OF_CONDITION: Final = 50
_BYTES_PER_COST: Final = 20
_ELSEWHERE: Final = ("patternProperties", "dependentSchemas", "dependencies", "not")

type Schema = Mapping[str, Any]


class InexpressibleError(Exception):
    """A part of a schema that a form cannot show."""


class TooLargeError(Exception):
    """The form would be too large, or take too long to make."""


@dataclass(slots=True)
class Members:
    """Properties of an object in order, and its required ones. `deciding` names properties that conditions read."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    conditions: list[Schema] = field(default_factory=list)
    deciding: set[str] = field(default_factory=set)


class SchemaReader:
    """Reads the parts of one payload schema. Raises `TooLargeError` if this takes more work than `MAX_WORK`."""

    def __init__(self, root: Schema, *, assert_format: bool = False) -> None:
        self._root = root
        self._assert_format = assert_format
        self._work = 0
        self._conditions: dict[int, tuple[Schema, int]] = {}

    def resolved(self, schema: Any) -> tuple[Schema, tuple[str, ...]]:
        """Return a schema with its references followed, and these references. Its own keywords win.

        Raise `InexpressibleError` for boolean schemas and references in a circle.
        """
        followed: list[str] = []
        while isinstance(schema, Mapping) and "$ref" in schema:
            reference = schema["$ref"]
            if reference in followed or len(followed) >= _MOST_REFERENCES:
                raise InexpressibleError
            followed.append(reference)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            target = self._target(reference)
            if not isinstance(target, Mapping):
                raise InexpressibleError
            schema = {**target, **rest}
            self._spend(len(schema))
        if not isinstance(schema, Mapping):
            raise InexpressibleError
        self._spend(1 + len(schema.get("enum", ())))
        return schema, tuple(followed)

    def members(self, schema: Schema, value: Any) -> Members:
        """Return the members of an object with the conditions that `value` meets."""
        found = Members()
        self._add(found, schema)
        done = 0
        while done < len(found.conditions):
            condition = found.conditions[done]
            done += 1
            branch = condition.get("then" if self._holds(condition["if"], value) else "else")
            if branch is False:
                continue  # the validator refuses the value
            if isinstance(branch, Mapping):
                self._add(found, branch)
        found.properties = {name: part for name, part in found.properties.items() if part is not False}
        if not found.properties or not found.required <= found.properties.keys():
            raise InexpressibleError
        return found

    def _add(self, found: Members, schema: Any, *, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise InexpressibleError
        part, _ = self.resolved(schema)
        if any(keyword in part for keyword in _ELSEWHERE if keyword != "not"):
            raise InexpressibleError
        self._spend(len(part.get("properties", ())) + len(part.get("required", ())))
        for name, property_schema in part.get("properties", {}).items():
            found.properties[name] = _both(found.properties.get(name, True), property_schema)
        found.required.update(part.get("required", ()))
        for combination in ("anyOf", "oneOf"):
            for branch in part.get(combination, ()):
                self._require_known(branch, part.get("properties", {}))
        for branch in part.get("allOf", ()):
            self._add(found, branch, depth=depth + 1)
        if "if" in part:
            found.conditions.append(part)
            found.deciding |= set(_names_in(self.resolved(part["if"])[0]))

    def _require_known(self, branch: Any, known: Mapping[str, Any]) -> None:
        """Raise `InexpressibleError` if an alternative has members that the object does not always have."""
        part, _ = self.resolved(branch)
        if part.get("properties", {}).keys() - known.keys() or "$ref" in part or "if" in part:
            raise InexpressibleError

    def _holds(self, condition: Any, value: Any) -> bool:
        """Return True if a value meets a condition, by the validator of the API."""
        if isinstance(condition, bool):
            return condition
        schema, cost = self._completed(condition)
        self._spend(cost)
        try:
            return not payloads.validate(schema, value, assert_format=self._assert_format)
        except (DocumentInvalid, JsonNotInteroperable):
            raise InexpressibleError from None

    def _completed(self, condition: Schema) -> tuple[Schema, int]:
        """Return a condition as a schema of its own, with the definitions that it refers to, and its cost."""
        known = self._conditions.get(id(condition))
        if known is None:
            text = json.dumps(condition)
            names = ("$schema", "$defs", "definitions") if '"$ref"' in text else ("$schema",)
            added = {name: self._root[name] for name in names if name in self._root}
            size = len(text) + (len(json.dumps(added)) if "$ref" in text else 0)
            known = ({**added, **condition}, _COST_OF_CONDITION + size // _BYTES_PER_COST)
            self._conditions[id(condition)] = known
        return known

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise TooLargeError

    def _target(self, reference: str) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise InexpressibleError
        node: Any = self._root
        for token in unquote(reference[1:]).split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isascii() and key.isdigit() and int(key[:6]) < len(node):
                node = node[int(key[:6])]
            else:
                raise InexpressibleError
        return node


def kind_of(schema: Schema) -> tuple[str, bool]:
    """Return the type of a value and whether it may be null. Raise `InexpressibleError` for several types or none."""
    kinds = schema.get("type")
    if kinds is None:
        return _implied(schema), False
    named = [kinds] if isinstance(kinds, str) else list(kinds)
    rest = [kind for kind in named if kind != "null"]
    if set(rest) == {"integer", "number"}:
        rest = ["number"]
    if len(rest) != 1:
        raise InexpressibleError
    return str(rest[0]), len(rest) < len(named)


def choices_of(schema: Schema) -> tuple[tuple[str, str], ...]:
    """Return the choices of a field as pairs of JSON text and label; empty if there are none, or too many."""
    values: list[tuple[Any, str]] = []
    if any(len(schema.get(keyword, ())) > MAX_CHOICES for keyword in ("enum", "oneOf", "anyOf")):
        return ()
    if "enum" in schema:
        values = [(value, label_of_choice(value)) for value in schema["enum"]]
    for combination in ("oneOf", "anyOf"):
        branches = schema.get(combination)
        if branches and all(isinstance(branch, Mapping) and "const" in branch for branch in branches):
            values = [
                (branch["const"], cut(branch.get("title"), MAX_LABEL) or label_of_choice(branch["const"]))
                for branch in branches
            ]
    if any(isinstance(value, dict | list) for value, _ in values):
        return ()
    return tuple((json.dumps(value, ensure_ascii=False), label) for value, label in values)


def label_of_choice(value: Any) -> str:
    """Return the label of a choice without a title."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def label_in(schema: Schema, key: str) -> str:
    """Return the label of a member: its title, or its name in words."""
    return cut(schema.get("title"), MAX_LABEL) or cut(readable(key), MAX_LABEL) or key[:MAX_LABEL]


def help_in(schema: Schema) -> str:
    return cut(schema.get("description"), MAX_HELP)


def cut(text: Any, most: int) -> str:
    """Return a text of at most `most` characters; empty for another value."""
    if not isinstance(text, str):
        return ""
    stripped = text.strip()
    return stripped if len(stripped) <= most else f"{stripped[: most - 1]}…"


def _implied(schema: Schema) -> str:
    """Return the type of a schema without `type`."""
    if "properties" in schema:
        return "object"
    if isinstance(schema.get("items"), Mapping):
        return "array"
    if choices_of(schema) or all(isinstance(value, str) for value in schema.get("enum", (None,))):
        return "string"
    raise InexpressibleError


def _both(first: Any, second: Any) -> Any:
    """Return a schema with the keywords of two; the later one wins."""
    if first is False or second is False:
        return False
    if first is True:
        return second
    if second is True:
        return first
    return {**first, **second}


def _names_in(condition: Any) -> Iterator[str]:
    """Yield the names of properties that a condition reads."""
    if not isinstance(condition, Mapping):
        return
    yield from condition.get("properties", {})
    yield from condition.get("required", ())
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in condition.get(keyword, ()):
            yield from _names_in(part)
    if "not" in condition:
        yield from _names_in(condition["not"])
