"""Ordered rows of a JSON value, with labels and formats of its schema. Pure.

Nothing of a value is left out: members that the schema does not describe come last and are marked, and the exact value
is part of every row. Names of such members are never shown as labels, so that a requester cannot imitate one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final

from babel import Locale

from threada_site.kernel.json.pointers import dotted, pointer_to, tokens_of
from workitems.display.amounts import NEUTRAL
from workitems.display.file_values import FILE_SCHEMA, attachment_in, described
from workitems.display.formats import formatted, value_at
from workitems.display.schema_view import SchemaView

_WORD_END: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.\s]+")
_MINOR: Final = " minor"


@dataclass(frozen=True, slots=True)
class Row:
    """One value of a payload.

    `place` are the names and places in lists that lead to it, `path` the same as a dotted path. `label` is the schema's
    or a readable form of the name; empty for elements of lists and for members that the schema does not describe.
    `text` is the formatted value; empty if it is shown as it is. `rows` are the members or elements of an object or a
    list.
    """

    place: tuple[str | int, ...]
    path: str
    label: str
    description: str
    value: Any
    text: str
    is_described: bool
    rows: tuple[Row, ...]
    attachment_id: str = ""
    """Id of the file, for a value of the format `file`."""
    is_lookalike: bool = False
    """True if the value resembles another one of an earlier work item."""

    @property
    def name(self) -> str:
        """Return the exact name of a member, or the place in its list from 0."""
        return str(self.place[-1])

    @property
    def pointer(self) -> str:
        return pointer_to("", *self.place)

    @property
    def is_element(self) -> bool:
        return isinstance(self.place[-1], int)

    @property
    def is_nested(self) -> bool:
        return len(self.place) > 1

    @property
    def has_rows(self) -> bool:
        return bool(self.rows)

    @property
    def caption(self) -> str:
        """Return the label, with the path if the value is nested; the path without a label."""
        if not self.label:
            return self.path
        return f"{self.label} ({self.path})" if self.is_nested else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    root: Any
    locale: Locale
    zone: tzinfo
    people: Mapping[str, str]
    alike: Collection[str]

    def rows(self, value: Any, view: SchemaView, place: tuple[str | int, ...], path: str) -> tuple[Row, ...]:
        if isinstance(value, dict):
            order = dict.fromkeys([*(name for name in view.names if name in value), *value])
            return tuple(self._row(name, value[name], view.member(name), place, path) for name in order)
        if isinstance(value, list):
            return tuple(self._row(at, part, view.element(at), place, path) for at, part in enumerate(value))
        return ()

    def _row(self, name: str | int, value: Any, view: SchemaView, base: tuple[str | int, ...], path: str) -> Row:
        place, path = (*base, name), dotted(path, name)
        attachment_id = attachment_in(value) if view.annotation.get("format") == "file" else ""
        text = self._text(value, view)
        if attachment_id:
            view, text = view.with_members(FILE_SCHEMA), described(value["name"], value["size"], self.locale)
        has_label = isinstance(name, str) and view.is_described
        return Row(
            place=place,
            path=path,
            label=view.label or _label_of(str(name), view, text) if has_label else "",
            description=view.description,
            value=value,
            text=text,
            is_described=view.is_described,
            rows=self.rows(value, view, place, path),
            attachment_id=attachment_id,
            is_lookalike=bool(self.alike) and pointer_to("", *place) in self.alike,
        )

    def _text(self, value: Any, view: SchemaView) -> str:
        if isinstance(value, dict | list) or not view.is_described:
            return ""
        choice = view.choice_label(value)
        if choice:
            return choice
        shown = formatted(
            value,
            view.annotation,
            view.format,
            root=self.root,
            people=self.people,
            locale=self.locale,
            zone=self.zone,
        )
        return shown or ""


def fields(
    schema: Any,
    value: Any,
    locale: Locale = NEUTRAL,
    zone: tzinfo = UTC,
    *,
    people: Mapping[str, str] | None = None,
    alike: Collection[str] = (),
) -> tuple[Row, ...]:
    """Return the rows of `value`, an object or a list, in the order of its schema.

    `people` are the names of principals by public id or username, for the format `person`. `alike` are pointers of
    values that resemble earlier ones.
    """
    reader = _Reader(root=value, locale=locale, zone=zone, people=people or {}, alike=alike)
    return reader.rows(value, SchemaView.of(schema), (), "")


def summary(rows: Sequence[Row], pointers: Sequence[str]) -> list[Row]:
    """Return the rows at `pointers`, in their order; without pointers the first four scalars that are described."""
    if not pointers:
        return [row for row in rows if row.is_described and not isinstance(row.value, dict | list)][:4]
    return [row for pointer in pointers if (row := _at(rows, tokens_of(pointer))) is not None]


def _at(rows: Sequence[Row], tokens: Sequence[str]) -> Row | None:
    found: Row | None = None
    for token in tokens:
        found = next((row for row in rows if row.name == token), None)
        rows = found.rows if found else ()
    return found


def people_in(schema: Any, value: Any) -> set[str]:
    """Return the values of the format `person`."""
    found: set[str] = set()
    pending = [(value, SchemaView.of(schema))]
    while pending:
        part, view = pending.pop()
        if isinstance(part, dict):
            pending += [(child, view.member(name)) for name, child in part.items()]
        elif isinstance(part, list):
            pending += [(child, view.element(place)) for place, child in enumerate(part)]
        elif isinstance(part, str) and view.annotation.get("format") == "person" and len(part) <= 200:
            found.add(part)
    return found


def _label_of(name: str, view: SchemaView, text: str) -> str:
    """Return the label of a field without a title: `amount_minor` is `Amount` only if its value is shown as money."""
    words = readable(name)
    return words.removesuffix(_MINOR) if text and view.annotation.get("format") == "money" else words


def label_at(schema: Any, pointer: str) -> str:
    """Return the label of the value at a pointer, with its path if it is nested."""
    view = SchemaView.of(schema)
    names = tokens_of(pointer)
    for name in names:
        view = view.member(name)
    label = view.label or readable(names[-1])
    return f"{label} ({dotted('', *names)})" if len(names) > 1 else label


def readable(name: str) -> str:
    """Return a name of a schema as words: `dueDate` and `due_date` become `Due date`."""
    words = " ".join(word.lower() if not word.isupper() else word for word in _WORD_END.split(name) if word)
    return words[:1].upper() + words[1:] if words else name


__all__ = ["Row", "fields", "label_at", "people_in", "readable", "summary", "value_at"]
