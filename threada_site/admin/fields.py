"""JSON values as readable fields. Invisible characters are written as code points, in names and values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from threada_site.kernel.characters import code_point, has_unseen, name_of, pieces
from threada_site.kernel.json.canonical import canonical_bytes

MOST_INDENTED: Final = 4
"""Levels of nested values that are indented, so that deep values keep their width."""


@dataclass(frozen=True, slots=True)
class Line:
    """Label and value of one line, as HTML; `lines` are the members of an object or list."""

    label: SafeString
    value: SafeString | str = ""
    lines: Sequence[Line] = ()


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
    return lines_html(_lines(value))


def lines_html(lines: Iterable[Line]) -> SafeString:
    """Return lines as nested HTML lists.

    Every value has the full width, at any depth: an object or list begins below its label. The first levels are
    indented, deeper ones are numbered.
    """
    found: list[str] = []
    _write(lines, found, level=1)
    return mark_safe("".join(found))  # noqa: S308 (labels and values are HTML already)


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


def exact(value: Any) -> SafeString:
    """Return a scalar or an empty value as HTML. What is no text or number is a word that no text can imitate."""
    if isinstance(value, str) and value:
        has_breaks = " t-breaks" if "\n" in value or "\r" in value else ""
        return mark_safe(f'<span class="t-text{has_breaks}">{visible(value)}</span>')  # noqa: S308 (it is escaped)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return SafeString(f'<span class="t-number">{escape(number_text(value))}</span>')
    if value is None or isinstance(value, bool):
        word = _("nothing") if value is None else _("yes") if value else _("no")
    elif isinstance(value, str):
        word = _("empty text")
    else:
        word = _("empty object") if isinstance(value, dict) else _("empty list")
    return literal(word)


def exact_name(name: str) -> SafeString:
    """Return the name of a member as HTML."""
    return SafeString(f'<code class="t-name">{visible(name)}</code>') if name else literal(_("empty name"))


def literal(word: str) -> SafeString:
    """Return a word of the page in place of a value, which no text can imitate."""
    return SafeString(f'<em class="t-literal">{escape(word)}</em>')


def number_text(value: float) -> str:
    """Return a number as canonical JSON writes it; integers that it excludes as all their digits."""
    return str(value) if isinstance(value, int) else canonical_bytes(value).decode()


def _lines(value: Any) -> Iterator[Line]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield _line(exact_name(str(name)), part)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value, start=1):
            yield _line(place_label(place), part)
    else:
        yield Line(SafeString(""), exact(value))


def _line(label: SafeString, value: Any) -> Line:
    if isinstance(value, dict | list | tuple) and value:
        return Line(label, lines=list(_lines(value)))
    return Line(label, exact(value))


def place_label(place: int) -> SafeString:
    """Return the number of an element of a list, from 1."""
    return SafeString(f'<span class="t-place">{place}</span>')


def _write(lines: Iterable[Line], found: list[str], *, level: int) -> None:
    indented = " t-indented" if 1 < level <= MOST_INDENTED else ""
    found.append(f'<dl class="t-doc{indented}">')
    for line in lines:
        if line.lines:
            depth = f' <span class="t-place">{_("level")} {level}</span>' if level >= MOST_INDENTED else ""
            found.append(f'<div class="t-group"><dt>{line.label}{depth}</dt><dd>')
            _write(line.lines, found, level=level + 1)
        else:
            found.append(f'<div class="t-entry"><dt>{line.label}</dt><dd>{line.value}')
        found.append("</dd></div>")
    found.append("</dl>")


def _marked(character: str) -> str:
    return f'<span class="t-unseen" title="{name_of(character)}">{code_point(character)}</span>'


def _has_parts(value: Any) -> bool:
    """Return True if a value needs nested lines. Arrays of scalars are written on one line."""
    if isinstance(value, list | tuple):
        return any(isinstance(part, dict | list | tuple) for part in value)
    return isinstance(value, dict) and bool(value)
