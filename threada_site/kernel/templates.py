"""Templates `${ … }` of documents: compiled when a document is saved, rendered over facts. Pure.

* A string that consists of `${ expression }` is a CEL expression over the variables of its document and keeps its
  type. Those of an action are `item`, `ctx`, `input` and `undoes`, the execution that an undo reverts, `{execution_id,
  action, idempotency_key, input, result}`, or {}.
* In a path, a header value or a text for people, expressions can also be part of a string. In a path every character
  except letters, digits and `-._~` is percent-encoded, also `/`. A header value must be Latin-1 without control
  characters.
* A string without `${` is literal; `$${` is a literal `${`. Keys are always literal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from threada_site.kernel.cel import Expression, ExpressionError, compile_expression, unguarded_reads
from threada_site.kernel.errors import DocumentInvalid, ExpressionFailed, FieldError
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.pointers import pointer_to

VARIABLES: Final = ("item", "ctx", "input", "undoes")
"""Variables of the templates of an action."""


class Place(StrEnum):
    """Use of a template; it defines whether expressions can be part of a string, and how values are encoded."""

    VALUE = "value"
    PATH = "path"
    HEADER = "header"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value. Literals are unchanged; strings with expressions are `Parts`."""

    node: Any


@dataclass(frozen=True, slots=True)
class Parts:
    """Literal parts and expressions of a string, in order. In place `value`, exactly one expression."""

    pointer: str
    place: Place
    parts: tuple[str | Expression, ...]


def compile_template(
    value: Any, *, pointer: str = "", place: Place = Place.VALUE, variables: tuple[str, ...] = VARIABLES
) -> Template:
    """Compile a JSON value at `pointer` of its document.

    Raises `DocumentInvalid` whose `errors` list every invalid or misplaced expression.
    """
    errors: list[FieldError] = []
    node = _compile(value, _Document(place, variables, errors), pointer)
    if errors:
        raise DocumentInvalid(errors=errors)
    return Template(node)


def render(template: Template, facts: Mapping[str, Any]) -> Any:
    """Return the value of `template` for `facts` (`item`, `ctx`, `input`, `undoes`), as I-JSON.

    Raises `ExpressionFailed` whose `errors` list every expression without a usable value.
    """
    errors: list[FieldError] = []
    value = _render(template.node, {"undoes": {}, **facts}, errors)
    if errors:
        raise ExpressionFailed(f"{errors[0].pointer}: {errors[0].detail}", errors=errors)
    return value


def unguarded_reads_of(template: Template, variable: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the pointer of each expression with each path that it reads from `variable` without a test, sorted."""
    pending = [template.node]
    while pending:
        node = pending.pop()
        if isinstance(node, Parts):
            for part in node.parts:
                if isinstance(part, Expression):
                    for path in sorted(unguarded_reads(part.source, variable, variables=part.variables)):
                        yield node.pointer, path
        elif isinstance(node, dict | list):
            pending.extend(reversed(list(node.values() if isinstance(node, dict) else node)))


@dataclass(frozen=True, slots=True)
class _Document:
    place: Place
    variables: tuple[str, ...]
    errors: list[FieldError]


def _compile(value: Any, document: _Document, pointer: str) -> Any:
    errors, place = document.errors, document.place
    if isinstance(value, dict):
        errors.extend(
            FieldError(pointer, f"The key {key[:60]!r} holds an expression. Keys are literal.")
            for key in value
            if "${" in key
        )
        return {key: _compile(child, document, pointer_to(pointer, key)) for key, child in value.items()}
    if isinstance(value, list):
        return [_compile(child, document, f"{pointer}/{position}") for position, child in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        parts = _split(value, document.variables)
        if all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
        if place is Place.VALUE and len(parts) > 1:
            raise ExpressionError(
                "An expression inside a string is possible in a path or a header only. "
                "Make the whole string one ${ … }, or write $${ for a literal ${."
            )
    except ExpressionError as error:
        where = f" (line {error.line}, column {error.column} of the expression)" if error.line else ""
        errors.append(FieldError(pointer, f"{error.message}{where}", "expression"))
        return value
    return Parts(pointer, place, parts)


def _split(text: str, variables: tuple[str, ...]) -> tuple[str | Expression, ...]:
    parts: list[str | Expression] = []
    literal: list[str] = []
    position = 0
    while position < len(text):
        if text.startswith("$${", position):
            literal.append("${")
            position += 3
        elif text.startswith("${", position):
            end = _expression_end(text, position + 2)
            if literal:
                parts.append("".join(literal))
                literal = []
            parts.append(compile_expression(text[position + 2 : end], variables=variables))
            position = end + 1
        else:
            literal.append(text[position])
            position += 1
    if literal:
        parts.append("".join(literal))
    return tuple(parts)


def _expression_end(text: str, position: int) -> int:
    """Return the index of the brace that closes the expression. Skips braces within strings, comments and maps."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character in "'\"":
            position = _string_end(text, position)
            continue
        if text.startswith("//", position):
            newline = text.find("\n", position)
            position = len(text) if newline < 0 else newline
            continue
        if character == "}" and depth == 0:
            return position
        depth += {"{": 1, "}": -1}.get(character, 0)
        position += 1
    raise ExpressionError("The expression is never closed. Add } at its end, or write $${ for a literal ${.")


def _string_end(text: str, position: int) -> int:
    """Return the index after the CEL string literal that starts at `position`, or the end of `text` if it is not
    closed."""
    raw = text[position - 1] in "rR" or (text[position - 1] in "bB" and text[position - 2] in "rR")
    quotes = text[position] * 3 if text.startswith(text[position] * 3, position) else text[position]
    position += len(quotes)
    while position < len(text):
        if text[position] == "\\" and not raw:
            position += 2
        elif text.startswith(quotes, position):
            return position + len(quotes)
        else:
            position += 1
    return position


def _render(node: Any, facts: Mapping[str, Any], errors: list[FieldError]) -> Any:
    if isinstance(node, dict):
        return {key: _render(child, facts, errors) for key, child in node.items()}
    if isinstance(node, list):
        return [_render(child, facts, errors) for child in node]
    if not isinstance(node, Parts):
        return node
    try:
        if node.place is Place.VALUE:
            (expression,) = node.parts
            assert isinstance(expression, Expression)  # noqa: S101
            return expression.value(facts)
        return _join(node, facts)
    except ExpressionError as error:
        errors.append(FieldError(node.pointer, error.message, "expression"))
        return None


def _join(node: Parts, facts: Mapping[str, Any]) -> str:
    written = [part if isinstance(part, str) else _written(part.value(facts), node.place) for part in node.parts]
    joined = "".join(written)
    if node.place is Place.HEADER and not is_header_value(joined):
        raise ExpressionError("The value cannot stand in a header: Latin-1, without control characters, not padded.")
    if node.place is Place.PATH and climbs(joined):
        raise ExpressionError("The value makes the path climb to another one.")
    return joined


def _written(value: Any, place: Place) -> str:
    if value is None or isinstance(value, dict | list):
        kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
        raise ExpressionError(f"The value is {kind}; only text, numbers and booleans can stand in a {place}.")
    text = value if isinstance(value, str) else canonical_bytes(value).decode()
    if place is not Place.PATH:
        return text
    if not text:
        raise ExpressionError("The value is empty, which would make it another path.")
    return quote(text, safe="")


def is_header_value(value: str) -> bool:
    """Return True for valid header values: Latin-1, no control character except tab, no white space at either end."""
    return value == value.strip(" \t") and all(
        (" " <= character <= "ÿ" and not "\x7f" <= character < "\xa0") or character == "\t" for character in value
    )


def climbs(path: str) -> bool:
    """Return True if a path has a segment `.` or `..`, also percent-encoded, which receivers resolve to another
    path."""
    return any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/"))
