"""What the console's templates need beyond Django's own tags."""

from __future__ import annotations

from typing import Any

import orjson
from django import template
from django.utils.safestring import SafeString

from threada_site.admin import html

register = template.Library()

register.filter("badge", html.badge)
register.filter("when", html.when)
register.filter("code", html.code)
register.filter("tags", html.tags)


@register.filter
def as_json(value: Any) -> str:
    """A JSON value, indented; escaped like any other text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


@register.filter
def entries(value: Any) -> list[tuple[str, Any, bool]]:
    """The members of an object or the parts of an array: name, value, and whether the value has parts of its own."""
    if isinstance(value, dict):
        return [(str(name), part, _has_parts(part)) for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(place + 1), part, _has_parts(part)) for place, part in enumerate(value)]
    return [("", value, False)]


@register.filter
def plainly(value: Any) -> str:
    """A JSON value without parts, as a reader would write it."""
    if value is None or value in ({}, [], ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plainly, value))
    return str(value)


@register.filter
def numbered(text: str) -> list[tuple[int, str]]:
    """The lines of a text with their numbers."""
    return list(enumerate(text.splitlines(), start=1))


@register.simple_tag
def page_link(model: str, key: Any, text: Any = None) -> SafeString:
    """A link to the page of a row."""
    return html.row_link(model, str(key) if key else None, text)


def _has_parts(value: Any) -> bool:
    """Arrays of plain values are written on one line."""
    if isinstance(value, list | tuple):
        return any(isinstance(part, dict | list | tuple) for part in value)
    return isinstance(value, dict) and bool(value)
