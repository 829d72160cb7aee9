"""Breaking changes between two OpenAPI documents, by the rules of docs/reference/compatibility.md. Pure.

Requests may only become wider, answers only narrower. Every rule has a name, which findings begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

METHODS: Final = ("get", "put", "post", "patch", "delete")
_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True, slots=True)
class Finding:
    """A breaking change: the rule that it breaks, its place, and what changed."""

    rule: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.place}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Sides:
    """One part of both documents. `is_input`: clients send it; otherwise they receive it."""

    old: Any
    new: Any
    is_input: bool


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Finding]:
    """Return what a client of `old` could not cope with in `new`."""
    return list(_Comparison(old, new).operations())


class _Comparison:
    """Comparison of two documents. Schemas that are reached twice in the same role are compared once."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.old = old
        self.new = new
        self.seen: set[tuple[str, str, bool]] = set()

    def operations(self) -> Iterator[Finding]:
        """Yield the findings of all operations."""
        for path, methods in self.old["paths"].items():
            for method in METHODS:
                if method not in methods:
                    continue
                place = f"{method.upper()} {path}"
                after = self.new["paths"].get(path, {}).get(method)
                if after is None:
                    yield Finding("operation-removed", place, "the operation is gone")
                    continue
                yield from self._operation(place, methods[method], after)

    def _operation(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
        if old["operationId"] != new["operationId"]:
            detail = f"{old['operationId']} is now {new['operationId']}"
            yield Finding("operation-renamed", place, detail)
        for requirement in new.get("security", ()):
            added = {scope for scopes in requirement.values() for scope in scopes} - {
                scope for before in old.get("security", ()) for scopes in before.values() for scope in scopes
            }
            if added:
                yield Finding("scope-added", place, f"needs {', '.join(sorted(added))}")
        yield from self._parameters(place, old, new)
        yield from self._body(place, old.get("requestBody"), new.get("requestBody"))
        yield from self._answers(place, old["responses"], new["responses"])

    def _parameters(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
        before = self._by_name(self.old, old)
        after = self._by_name(self.new, new)
        for key, parameter in before.items():
            name = f"{place} ?{key[1]}" if key[0] == "query" else f"{place} {key[1]}"
            if key not in after:
                yield Finding("parameter-removed", name, "the parameter is gone")
            else:
                sides = _Sides(parameter["schema"], after[key]["schema"], is_input=True)
                yield from self._schema(name, sides)
        for key, parameter in after.items():
            was_required = before.get(key, {}).get("required", False)
            if parameter.get("required") and not was_required:
                yield Finding("parameter-required", f"{place} {key[1]}", "the parameter is now required")

    def _by_name(self, root: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        found = (_resolved(root, entry) for entry in operation.get("parameters", ()))
        return {(entry["in"], entry["name"]): entry for entry in found}

    def _body(self, place: str, old: Any, new: Any) -> Iterator[Finding]:
        if new is not None and new.get("required") and not (old or {}).get("required"):
            yield Finding("body-required", place, "a body is now required")
        if old is None:
            return
        for media_type, content in old["content"].items():
            after = (new or {"content": {}})["content"].get(media_type)
            if after is None:
                yield Finding("media-type-removed", place, f"takes no {media_type}")
            else:
                yield from self._schema(f"{place} body", _Sides(content["schema"], after["schema"], is_input=True))

    def _answers(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
        for status in old:
            if status not in new:
                yield Finding("status-removed", f"{place} {status}", "the status is gone")
                continue
            yield from self._answer(f"{place} {status}", old[status], new[status])
        for status in new:
            if status.startswith("2") and status not in old:
                yield Finding("status-added", f"{place} {status}", "a success that clients do not know")

    def _answer(self, place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Finding]:
        for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
            yield Finding("header-removed", place, f"without the header {name}")
        for media_type, content in old.get("content", {}).items():
            after = new.get("content", {}).get(media_type)
            if after is None:
                yield Finding("media-type-removed", place, f"answers no {media_type}")
                continue
            if "schema" in content and "schema" in after:
                yield from self._schema(place, _Sides(content["schema"], after["schema"], is_input=False))
            for code in content.get("examples", {}).keys() - after.get("examples", {}).keys():
                yield Finding("error-removed", place, f"without the reason code {code}")

    def _schema(self, place: str, sides: _Sides) -> Iterator[Finding]:
        """Yield the findings of a schema and its parts."""
        names = tuple(str(node.get("$ref", "")) if isinstance(node, Mapping) else "" for node in (sides.old, sides.new))
        if all(names):
            key = (*names, sides.is_input)
            if key in self.seen:
                return
            self.seen.add(key)  # type: ignore[arg-type]
            place = f"{names[0].rpartition('/')[2]} ({'sent' if sides.is_input else 'received'})"
        old, new = _resolved(self.old, sides.old), _resolved(self.new, sides.new)
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            return
        resolved = _Sides(old, new, sides.is_input)
        for rule in _RULES:
            yield from (Finding(found.rule, f"{place}{found.place}", found.detail) for found in rule(resolved))
        yield from self._parts(place, resolved)

    def _parts(self, place: str, sides: _Sides) -> Iterator[Finding]:
        old, new = sides.old, sides.new
        for name, part in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                inner = _Sides(part, new["properties"][name], sides.is_input)
                yield from self._schema(f"{place}.{name}", inner)
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), Mapping) and isinstance(new.get(key), Mapping):
                yield from self._schema(f"{place}.{key}", _Sides(old[key], new[key], sides.is_input))
        for key in ("anyOf", "oneOf"):
            for before, after in zip(old.get(key, ()), new.get(key, ()), strict=False):
                yield from self._schema(place, _Sides(before, after, sides.is_input))


def _field_removed(sides: _Sides) -> Iterator[Finding]:
    gone = sides.old.get("properties", {}).keys() - sides.new.get("properties", {}).keys()
    if sides.is_input and sides.new.get("additionalProperties") is not False:
        return
    for name in sorted(gone):
        yield Finding("field-removed", f".{name}", "the field is gone")


def _field_required(sides: _Sides) -> Iterator[Finding]:
    before, after = set(sides.old.get("required", ())), set(sides.new.get("required", ()))
    for name in sorted(after - before) if sides.is_input else ():
        yield Finding("field-required", f".{name}", "must be sent now")
    for name in sorted(before - after) if not sides.is_input else ():
        if name in sides.new.get("properties", {}):
            yield Finding("field-optional", f".{name}", "may be missing now")


def _type_narrowed(sides: _Sides) -> Iterator[Finding]:
    before, after = _types(sides.old), _types(sides.new)
    lost = _lost(before, after) if sides.is_input else _lost(after, before)
    if lost:
        verb = "no longer takes" if sides.is_input else "may now be"
        yield Finding("type-changed", "", f"{verb} {', '.join(sorted(lost))}")


def _enum_changed(sides: _Sides) -> Iterator[Finding]:
    """Yield values of an input that are refused now. New values of answers are additions."""
    before, after = sides.old.get("enum"), sides.new.get("enum")
    if not sides.is_input or after is None:
        return
    gone = "all but listed values" if before is None else ", ".join(str(one) for one in before if one not in after)
    if gone:
        yield Finding("enum-narrowed", "", f"no longer takes {gone}")


def _bounds_narrowed(sides: _Sides) -> Iterator[Finding]:
    if not sides.is_input:
        return
    for name in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        before, after = sides.old.get(name), sides.new.get(name)
        is_tighter = after is not None and (before is None or (after > before) == (name in _LOWER_BOUNDS))
        if is_tighter and after != before and not (before is None and after == 0):
            yield Finding("bound-narrowed", "", f"{name} is {after}")
    if sides.new.get("pattern", sides.old.get("pattern")) != sides.old.get("pattern"):
        yield Finding("pattern-changed", "", f"must match {sides.new['pattern']}")
    if sides.new.get("additionalProperties") is False and sides.old.get("additionalProperties", True) is not False:
        yield Finding("closed", "", "takes no other members now")


def _format_changed(sides: _Sides) -> Iterator[Finding]:
    before, after = sides.old.get("format"), sides.new.get("format")
    if before != after and (after is not None if sides.is_input else before is not None):
        yield Finding("format-changed", "", f"{before} is now {after}")


_RULES: Final[tuple[Callable[[_Sides], Iterator[Finding]], ...]] = (
    _field_removed,
    _field_required,
    _type_narrowed,
    _enum_changed,
    _bounds_narrowed,
    _format_changed,
)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types that a schema allows; empty: any."""
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    if "anyOf" in schema or "oneOf" in schema:
        parts = [_types(part) for part in schema.get("anyOf", schema.get("oneOf", ()))]
        return frozenset() if not all(parts) else frozenset().union(*parts)
    return frozenset()


def _lost(wider: frozenset[str], narrower: frozenset[str]) -> frozenset[str]:
    """Return types of `wider` that `narrower` does not allow; a number includes integers."""
    if not narrower:
        return frozenset()
    if not wider:
        return frozenset({"any type"})
    return wider - narrower - ({"integer"} if "number" in narrower else set())


def _resolved(root: Mapping[str, Any], node: Any) -> Any:
    while isinstance(node, Mapping) and "$ref" in node:
        found: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node
