"""Templates of titles: `Pay ${item.payload.vendor} ${money(item.payload.amount_minor, item.payload.currency)}`. Pure.

A placeholder is a field of the work item, or one function of such fields. Nothing else is evaluated. A template is
parsed when its document is stored; `workitems.display.titles` fills it.

placeholder := field | function "(" argument {"," argument} ")"
argument    := field | 'text'
field       := "item." ("id" | "workflow" | "external_ref" | "payload" {"." name | "[" number "]" | "['" any key "']"})
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

MAX_TEMPLATE: Final = 500
MAX_PLACEHOLDERS: Final = 10
MAX_TEXT: Final = 80
"""Characters beside the placeholders, so that every value keeps some of the 120 characters of a title."""
FUNCTIONS: Final = {"money": 2, "number": 1, "percent": 1, "date": 1}
"""Functions and the number of their arguments."""
_FIELDS: Final = ("id", "workflow", "external_ref", "payload")
_OPEN: Final = "${"
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_-]*) | \[\s*(?P<place>[0-9]{1,6})\s*\] | \[\s*'(?P<key>[^']*)'\s*\]
        | '(?P<text>[^']*)' | (?P<sign>[.(),}])
    )""",
    re.VERBOSE,
)


class TitleError(ValueError):
    """Error in a template, as a sentence for its author."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the work item; `path` leads into the payload."""

    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function of fields and texts."""

    name: str
    arguments: tuple[Field | str, ...]


type Part = str | Field | Function


@lru_cache(maxsize=1024)
def parse_title(template: str) -> tuple[Part, ...]:
    """Return the parts of a template: texts and placeholders. Raise `TitleError`."""
    parts: list[Part] = []
    rest = template
    while rest:
        text, opened, rest = rest.partition(_OPEN)
        if text:
            parts.append(text)
        if opened:
            part, rest = _Reader(rest).placeholder()
            parts.append(part)
    if sum(len(part) for part in parts if isinstance(part, str)) > MAX_TEXT:
        raise TitleError(f"A title has at most {MAX_TEXT} characters beside its placeholders. Shorten it.")
    if sum(not isinstance(part, str) for part in parts) > MAX_PLACEHOLDERS:
        raise TitleError(f"A title has at most {MAX_PLACEHOLDERS} placeholders. Remove some.")
    return tuple(parts)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def placeholder(self) -> tuple[Field | Function, str]:
        """Return the placeholder at the beginning of the text, and the text behind it."""
        name = self._take("name")
        found: Field | Function
        if name == "item":
            found = self._field()
        elif name in FUNCTIONS:
            found = self._function(name)
        else:
            known = ", ".join(f"{function}()" for function in FUNCTIONS)
            raise TitleError(f"A placeholder begins with item. or is one of {known}. Found {name[:40]!r}.")
        self._expect("}")
        return found, self.text[self.position :]

    def _function(self, name: str) -> Function:
        self._expect("(")
        arguments = [self._argument()]
        while self._peek("sign") == ",":
            self._expect(",")
            arguments.append(self._argument())
        self._expect(")")
        if len(arguments) != FUNCTIONS[name]:
            count = FUNCTIONS[name]
            raise TitleError(
                f"The function {name}() takes {count} argument{'s' if count > 1 else ''}, not {len(arguments)}."
            )
        return Function(name, tuple(arguments))

    def _argument(self) -> Field | str:
        if self._peek("text") is not None:
            return self._take("text")
        name = self._take("name")
        if name != "item":
            raise TitleError(f"An argument is a field that begins with item., or a 'text'. Found {name[:40]!r}.")
        return self._field()

    def _field(self) -> Field:
        self._expect(".")
        name = self._take("name")
        if name not in _FIELDS:
            raise TitleError(f"There is no field item.{name[:40]}. A title can contain item.{', item.'.join(_FIELDS)}.")
        path: list[str | int] = []
        while True:
            if self._peek("sign") == ".":
                self._expect(".")
                path.append(self._take("name"))
            elif (place := self._peek("place")) is not None:
                self._take("place")
                path.append(int(place))
            elif self._peek("key") is not None:
                path.append(self._take("key"))
            else:
                break
        if path and name != "payload":
            raise TitleError(f"The field item.{name} has no fields of its own.")
        if name == "payload" and not path:
            raise TitleError("Name a field of the payload, for example item.payload.vendor.")
        return Field(name, tuple(path))

    def _peek(self, kind: str) -> Any:
        found = _TOKEN.match(self.text, self.position)
        return found.group(kind) if found else None

    def _take(self, kind: str) -> str:
        found = _TOKEN.match(self.text, self.position)
        value = found.group(kind) if found else None
        if found is None or value is None:
            raise self._unexpected("a text in quotes" if kind == "text" else "a name")
        self.position = found.end()
        return value

    def _expect(self, sign: str) -> None:
        found = _TOKEN.match(self.text, self.position)
        if found is None or found.group("sign") != sign:
            raise self._unexpected(repr(sign))
        self.position = found.end()

    def _unexpected(self, expected: str) -> TitleError:
        rest = self.text[self.position :].lstrip()[:20]
        place = f"at {rest!r}" if rest else "at the end"
        return TitleError(f"Expected {expected} {place}. Write, for example, ${{item.payload.vendor}}.")
