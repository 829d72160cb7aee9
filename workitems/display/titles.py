"""Titles of work items: one line that tells a person what a request is about.

A title is computed when the payload is stored and contains values of it, so it is removed with the payload. Lists show
the default title, the workflow and a short id, for sensitive data classes and after an erasure.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from babel.dates import format_date
from babel.numbers import format_decimal

from policies.documents.title_template import Field, Function, Part, parse_title
from threada_site.kernel import ids
from threada_site.kernel.characters import code_point, pieces
from workitems.display.amounts import NEUTRAL, money, whole_number_in

MAX_TITLE: Final = 120
_SHORT: Final = 6
_SHORTEST_VALUE: Final = 4
_LONGEST_READ: Final = 1_000
_SPACE: Final = re.compile(r"[ \t\r\n]+")


def default_title(workflow: str, item_id: uuid.UUID, *, name: str = "") -> str:
    """Return the title of an item without a template: the workflow and the end of the item's id."""
    label = one_line(name) or workflow.replace("_", " ").replace("-", " ").capitalize()
    short = ids.public_id(ids.WORK_ITEM, item_id)[-_SHORT:]
    return f"{_cut(label, MAX_TITLE - _SHORT - 1)} {short}"


def is_default_title(title: str, item_id: uuid.UUID) -> bool:
    """Return True if a title has the form of `default_title`."""
    return title.endswith(f" {ids.public_id(ids.WORK_ITEM, item_id)[-_SHORT:]}")


def title_from(template: str, payload: Any, *, item_id: uuid.UUID, workflow: str, external_ref: str = "") -> str:
    """Return the title of an item by the template of its workflow version; empty if no placeholder has a value.

    Unknown fields are empty. If the title would be too long, its longest values are cut, so that no value displaces
    another one.
    """
    given = {
        "id": ids.public_id(ids.WORK_ITEM, item_id),
        "workflow": workflow,
        "external_ref": external_ref,
        "payload": payload,
    }
    parts = parse_title(template)
    texts = [_filled(part, given) for part in parts]
    placeholders = [text for part, text in zip(parts, texts, strict=True) if not isinstance(part, str)]
    if placeholders and not any(placeholders):
        return ""
    return _cut(one_line("".join(_fitting(parts, texts))), MAX_TITLE)


def one_line(text: str) -> str:
    """Return a text on one line, with invisible characters and those that turn text as code points: `[U+202E]`."""
    plain = _SPACE.sub(" ", text).strip()
    return "".join(f"[{code_point(piece)}]" if is_unseen else piece for piece, is_unseen in pieces(plain))


def _filled(part: Part, given: Mapping[str, Any]) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Field):
        return one_line(_scalar(_value(part, given)))
    values = [argument if isinstance(argument, str) else _value(argument, given) for argument in part.arguments]
    return one_line(_calculated(part, values))


def _value(place: Field, given: Mapping[str, Any]) -> Any:
    value = given[place.name]
    for step in place.path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _calculated(function: Function, values: list[Any]) -> str:
    first = values[0]
    if function.name == "money":
        return money(first, values[1]) or _in_minor_units(*values)
    if function.name == "date":
        return _date(first) or _scalar(first)
    is_number = isinstance(first, int | float) and not isinstance(first, bool)
    if is_number and abs(first) < 10**15:
        places = "#,##0.######%" if function.name == "percent" else "#,##0.######"
        return str(format_decimal(first, format=places, locale=NEUTRAL))
    return _scalar(first)


def _in_minor_units(amount: Any, currency: Any) -> str:
    """Return an amount that cannot be formatted, with its currency as given."""
    shown = _scalar(amount)
    return f"{shown} minor units {_scalar(currency)}" if shown else ""


def _date(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 40:
        return ""
    try:
        read = datetime.fromisoformat(value).date() if "T" in value else date.fromisoformat(value)
    except ValueError:
        return ""
    return str(format_date(read, format="d MMM yyyy", locale=NEUTRAL))


def _scalar(value: Any) -> str:
    """Return a scalar JSON value as text; empty for null, objects and arrays."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value[:_LONGEST_READ]
    if isinstance(value, int | float):
        whole = whole_number_in(value)
        return str(value if whole is None else whole)[:_LONGEST_READ] if abs(value) < 10**300 else "a very large number"
    return ""


def _fitting(parts: tuple[Part, ...], texts: list[str]) -> list[str]:
    """Return the texts; if they are too long together, the longest values of the request are cut to equal lengths."""
    may_cut = [isinstance(part, Field) and part.name in ("payload", "external_ref") for part in parts]
    values = [len(text) for text, cuts in zip(texts, may_cut, strict=True) if cuts]
    left = MAX_TITLE - sum(map(len, texts)) + sum(values)
    lengths = range(MAX_TITLE, _SHORTEST_VALUE, -1)
    longest = next((most for most in lengths if sum(min(length, most) for length in values) <= left), _SHORTEST_VALUE)
    return [_cut(text, longest) if cuts else text for text, cuts in zip(texts, may_cut, strict=True)]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
