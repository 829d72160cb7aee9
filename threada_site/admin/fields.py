"""JSON values as readable fields. Invisible characters are written as code points, in names and values."""

from __future__ import annotations

from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from threada_site.kernel.characters import code_point, has_unseen, name_of, pieces


def visible(text: Any) -> SafeString:
    """Return a text as escaped HTML, with every invisible character shown as its code point and marked."""
    if isinstance(text, SafeString):
        return text
    plain = str(text)
    if not has_unseen(plain):
        return SafeString(escape(plain))
    return mark_safe("".join(_marked(piece) if is_unseen else escape(piece) for piece, is_unseen in pieces(plain)))  # noqa: S308 (every piece is escaped)


def plainly(value: Any) -> str:
    """Return a scalar JSON value, or a list of scalars, as text."""
    if value is None or value in ({}, [], ""):
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(plainly, value))
    return str(value)


def entries(value: Any) -> list[tuple[str, Any, bool]]:
    """Return the members of an object or array as name, value, and True if the value has members of its own."""
    if isinstance(value, dict):
        return [(str(name), part, _has_parts(part)) for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(place + 1), part, _has_parts(part)) for place, part in enumerate(value)]
    return [("", value, False)]


def fields(value: Any) -> SafeString:
    """Return a JSON value as nested HTML lists of names and values."""
    found: list[str] = []
    _write(value, found)
    return mark_safe("".join(found))  # noqa: S308 (names and values are escaped by `visible`)


def value(value: Any) -> SafeString:
    """Return a JSON value as HTML: nested lists, or one text."""
    return fields(value) if _has_parts(value) else visible(plainly(value))


def citation(value: Any) -> SafeString:
    """Return a citation as HTML: the whole quote first, then its source and all other members."""
    if not isinstance(value, dict) or not isinstance(value.get("quote"), str):
        return fields(value) if _has_parts(value) else _paragraph(value)
    rest = {name: part for name, part in value.items() if name != "quote"}
    quoted = f"<blockquote>{visible(value['quote'])}</blockquote>"
    return mark_safe(quoted + (fields(rest) if rest else ""))  # noqa: S308 (both are escaped)


def _paragraph(value: Any) -> SafeString:
    return mark_safe(f'<p class="t-text">{visible(plainly(value))}</p>')  # noqa: S308 (it is escaped)


def _write(value: Any, found: list[str]) -> None:
    found.append('<dl class="t-fields">')
    for name, part, has_parts in entries(value):
        found.append(f"<dt>{visible(name)}</dt><dd>")
        if has_parts:
            _write(part, found)
        else:
            found.append(f'<span class="t-text">{visible(plainly(part))}</span>')
        found.append("</dd>")
    found.append("</dl>")


def _marked(character: str) -> str:
    return f'<span class="t-unseen" title="{name_of(character)}">{code_point(character)}</span>'


def _has_parts(value: Any) -> bool:
    """Return True if a value needs nested lines. Arrays of scalars are written on one line."""
    if isinstance(value, list | tuple):
        return any(isinstance(part, dict | list | tuple) for part in value)
    return isinstance(value, dict) and bool(value)
