"""Completion in an unfinished YAML or JSON text, from a JSON Schema. Pure.

The text up to the cursor is read with a mark at the cursor. The parser's events say whether the mark is a key or a
value, and the keys above it; the schema at that place says what may stand there. Nothing but the schema is suggested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from threada_site.kernel.documents.structure import Schema
from threada_site.kernel.json.strict import MAX_DEPTH

MOST_CHARACTERS: Final = 200_000
MOST_SUGGESTIONS: Final = 200
_MOST_BRANCHES: Final = 400
"""Subschemas that are visited for one place, so that alternatives within alternatives end."""
_MARK: Final = "threadacursormark"
_WORD: Final = re.compile(r"[\w.$/-]*\Z")
_KEY_POSITION: Final = re.compile(r"[\s-]*\Z|.*[{,]\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A word for the place of the cursor. `is_key` is True for the name of a member."""

    text: str
    is_key: bool
    about: str


@dataclass(slots=True)
class _Level:
    """An open object or list: the members read so far, and the current key."""

    is_object: bool
    members: dict[str, Any]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Cursor:
    levels: list[_Level]
    is_key: bool


def suggestions(text: str, schema: Schema) -> list[Suggestion]:
    """Return what may follow at the end of `text`, of which the last word may be unfinished."""
    if len(text) > MOST_CHARACTERS:
        return []
    before = text[: len(text) - len(_WORD.search(text)[0])]  # type: ignore[index]
    line = before.rpartition("\n")[2]
    is_key_likely = bool(_KEY_POSITION.match(line))
    marks = [f"{_MARK}: ", _MARK] if is_key_likely else [_MARK]
    if before.endswith(('"', "'")):
        marks = [f"{_MARK}{before[-1]}: ", f"{_MARK}{before[-1]}"]
    for mark in marks:
        cursor = _cursor(before + mark)
        if cursor is not None:
            found = list(_suggested(cursor, schema))
            if found:
                return _distinct(found)
    return []


def _cursor(text: str) -> _Cursor | None:
    """Return the place of the mark, or None if the text before it cannot be read."""
    levels: list[_Level] = []
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent) and _MARK in event.value:
                top = levels[-1] if levels else None
                return _Cursor(levels, is_key=top is not None and top.is_object and top.key is None)
            if len(levels) > MAX_DEPTH:
                return None
            _read(event, levels)
    except (yaml.YAMLError, UnicodeEncodeError):
        return None
    return None


def _read(event: yaml.Event, levels: list[_Level]) -> None:
    if isinstance(event, yaml.ScalarEvent):
        _take(levels, event.value)
    elif isinstance(event, yaml.AliasEvent):
        _take(levels, None)
    elif isinstance(event, yaml.CollectionStartEvent):
        levels.append(_Level(isinstance(event, yaml.MappingStartEvent), {}))
    elif isinstance(event, yaml.CollectionEndEvent):
        levels.pop()
        _end(levels)
    elif isinstance(event, yaml.DocumentEndEvent):
        levels.clear()


def _take(levels: list[_Level], value: str | None) -> None:
    if not levels:
        return
    top = levels[-1]
    if not top.is_object:
        return
    if top.key is None:
        top.key = value or ""
    else:
        top.members[top.key] = value
        top.key = None


def _end(levels: list[_Level]) -> None:
    """End the value of a member, an object or a list."""
    if levels and levels[-1].is_object and levels[-1].key is not None:
        levels[-1].members[levels[-1].key] = None
        levels[-1].key = None


def _suggested(cursor: _Cursor, schema: Schema) -> Iterator[Suggestion]:
    """Yield names of members or values that the schema allows at the cursor."""
    visited = [0]
    nodes = [schema]
    root: Schema = schema
    for depth, level in enumerate(cursor.levels):
        is_last = depth == len(cursor.levels) - 1
        applying = [found for node in nodes for found in _branches(node, root, level.members, visited)]
        if is_last and cursor.is_key:
            yield from _keys(applying, level)
            return
        if level.is_object:
            nodes = [child for node in applying for child in _members(node, level.key or "")]
        else:
            nodes = [node["items"] for node in applying if isinstance(node.get("items"), dict)]
    for place in nodes:
        for node in _branches(place, root, {}, visited):
            yield from _values(node)


def _branches(node: Any, root: Schema, members: Mapping[str, Any], visited: list[int]) -> Iterator[Schema]:
    """Yield the schema and the alternatives within it that apply beside `members`."""
    visited[0] += 1
    if not isinstance(node, dict) or visited[0] > _MOST_BRANCHES:
        return
    target = node.get("$ref")
    if isinstance(target, str):
        yield from _branches(_resolved(target, root), root, members, visited)
    yield node
    for name in ("allOf", "anyOf", "oneOf"):
        for child in node.get(name, ()):
            if name == "allOf" or not _contradicts(child, root, members):
                yield from _branches(child, root, members, visited)
    if "if" in node:
        chosen = "else" if _contradicts(node["if"], root, members) else "then"
        yield from _branches(node.get(chosen), root, members, visited)


def _contradicts(node: Any, root: Schema, members: Mapping[str, Any]) -> bool:
    """Return True if a constant or choice of the schema excludes what is written."""
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        node = _resolved(node["$ref"], root)
    if not isinstance(node, dict) or not isinstance(node.get("properties"), dict):
        return False
    for name, child in node["properties"].items():
        if not isinstance(child, dict) or not ("const" in child or "enum" in child):
            continue
        allowed = child["enum"] if "enum" in child else [child["const"]]
        if isinstance(members.get(name), str) and members[name] not in map(str, allowed):
            return True
    return False


def _resolved(target: str, root: Schema) -> Any:
    """Return the schema of a reference within the document; None for any other."""
    if not target.startswith("#/"):
        return None
    found: Any = root
    for token in target[2:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _members(node: Schema, key: str) -> Iterator[Any]:
    properties = node.get("properties", {})
    if key in properties:
        yield properties[key]
        return
    for name in ("additionalProperties", "unevaluatedProperties"):
        if isinstance(node.get(name), dict):
            yield node[name]
    yield from node.get("patternProperties", {}).values()


def _keys(nodes: list[Schema], level: _Level) -> Iterator[Suggestion]:
    for node in nodes:
        required = node.get("required", ())
        for name, child in node.get("properties", {}).items():
            if name not in level.members:
                yield Suggestion(name, True, _about(child, is_required=name in required))


def _values(node: Schema) -> Iterator[Suggestion]:
    about = str(node.get("description", ""))
    for value in node.get("enum", [node["const"]] if "const" in node else []):
        if isinstance(value, str | int | float | bool):
            yield Suggestion(_written(value), False, about)
    types = node.get("type", ())
    if "boolean" in ([types] if isinstance(types, str) else types):
        yield Suggestion("true", False, about)
        yield Suggestion("false", False, about)
    for value in node.get("examples", ()):
        if isinstance(value, str):
            yield Suggestion(_written(value), False, about)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _about(child: Any, *, is_required: bool) -> str:
    said = str(child.get("description", "")) if isinstance(child, dict) else ""
    return f"Required. {said}".strip() if is_required else said


def _distinct(found: list[Suggestion]) -> list[Suggestion]:
    """Return each word once, required members first."""
    known = {entry.text: entry for entry in reversed(found)}
    kept = [known[text] for text in dict.fromkeys(entry.text for entry in found)]
    return sorted(kept, key=lambda entry: not entry.about.startswith("Required."))[:MOST_SUGGESTIONS]
