"""JSON values as readable fields. Invisible characters are code points, mixed scripts and turned numbers are marked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from threada_site.kernel.characters import code_point, has_turned_numbers, has_unseen, name_of, pieces
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.pointers import dotted
from threada_site.kernel.lookalikes import words

MOST_INDENTED: Final = 4
"""Levels of nested values that are indented, so that deep values keep their width."""


@dataclass(frozen=True, slots=True)
class Line:
    """Caption and value of one line; `lines` are the members of an object or list.

    `name` is that of a member or the place in a list from 0, None for a line without a place of its own. `label` is
    the schema's label as HTML; empty if there is none. `remark` is HTML behind the caption.
    """

    name: str | int | None
    value: SafeString | str = ""
    lines: Sequence[Line] = ()
    label: SafeString | str = ""
    remark: SafeString | str = ""


def visible(text: Any) -> SafeString:
    """Return a text as escaped HTML, with every invisible character as its code point.

    Words of several scripts are marked, and numbers that are displayed in another order than they are written.
    """
    if isinstance(text, SafeString):
        return text
    plain = str(text)
    if plain.isascii() and not has_unseen(plain):
        return SafeString(escape(plain))
    shown = (_marked(piece) if is_unseen else _with_scripts(piece) for piece, is_unseen in pieces(plain))
    mark = f" {_tag(_('numbers displayed in another order than written'))}" if has_turned_numbers(plain) else ""
    return mark_safe("".join(shown) + mark)  # noqa: S308 (every piece is escaped)


def plainly(value: Any) -> str:
    """Return a scalar JSON value, or a list of scalars, as text."""
    if value is None or value in ({}, [], ""):
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(plainly, value))
    return str(value)


def fields(value: Any, alike: Collection[str] = ()) -> SafeString:
    """Return a JSON value as nested HTML lists of names and values. `alike`: texts that are marked where they occur."""
    return lines_html(_lines(value, alike))


def resembling(shown: SafeString) -> SafeString:
    """Return a value, which is HTML, with the mark that it resembles an earlier one."""
    return mark_safe(f"{shown} {_tag(_('resembles an earlier value'))}")  # noqa: S308 (both are escaped)


def lines_html(lines: Iterable[Line], *, path: str = "") -> SafeString:
    """Return lines as nested HTML lists. The caption of a nested line is its dotted path; `path` leads to the lines.

    Every value has the full width, at any depth: an object or list begins below its caption. Only the first levels are
    indented, so the indentation alone does not tell the parent of a value.
    """
    found: list[str] = []
    _write(lines, found, path=path, level=1)
    return mark_safe("".join(found))  # noqa: S308 (captions and values are HTML already)


def caption(path: str, *, label: SafeString | str = "") -> SafeString:
    """Return the caption of a value as HTML: its dotted path, after its label if it has one."""
    shown = f'<code class="t-name">{visible(path)}</code>'
    return mark_safe(f"{label} {shown}" if label else shown)  # noqa: S308 (both are escaped)


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


def literal(word: str) -> SafeString:
    """Return a word of the page in place of a value, which no text can imitate."""
    return SafeString(f'<em class="t-literal">{escape(word)}</em>')


def number_text(value: float) -> str:
    """Return a number as canonical JSON writes it; integers that it excludes as all their digits."""
    return str(value) if isinstance(value, int) else canonical_bytes(value).decode()


def _lines(value: Any, alike: Collection[str]) -> Iterator[Line]:
    if isinstance(value, dict):
        parts: Iterable[tuple[str | int | None, Any]] = ((str(name), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        parts = [(None, value)]
    for name, part in parts:
        if isinstance(part, dict | list | tuple) and part and name is not None:
            yield Line(name, lines=list(_lines(part, alike)))
        else:
            is_alike = isinstance(part, str) and any(text in part for text in alike)
            yield Line(name, resembling(exact(part)) if is_alike else exact(part))


def _write(lines: Iterable[Line], found: list[str], *, path: str, level: int) -> None:
    indented = " t-indented" if 1 < level <= MOST_INDENTED else ""
    found.append(f'<dl class="t-doc{indented}">')
    for line in lines:
        here = path if line.name is None else dotted(path, line.name)
        term = _term(line, here, is_nested=bool(path))
        if line.lines:
            found.append(f'<div class="t-group"><dt>{term}</dt><dd>')
            _write(line.lines, found, path=here, level=level + 1)
        else:
            found.append(f'<div class="t-entry"><dt>{term}</dt><dd>{line.value}')
        found.append("</dd></div>")
    found.append("</dl>")


def _term(line: Line, path: str, *, is_nested: bool) -> str:
    """Return the caption of a line: the label of the schema, and the path of what is nested or has no label."""
    has_own = line.name is None or (line.label and not is_nested)
    term = line.label if has_own else caption(path, label=line.label)
    return f"{term} {line.remark}" if line.remark else term


def _marked(character: str) -> str:
    return f'<span class="t-unseen" title="{name_of(character)}">{code_point(character)}</span>'


def _with_scripts(text: str) -> str:
    """Return a text as HTML with a mark behind each word that has letters of several scripts."""
    return "".join(_mixed(piece, scripts) if scripts else escape(piece) for piece, scripts in words(text))


def _mixed(word: str, scripts: tuple[str, ...]) -> str:
    mark = _("mixed scripts: {names}").format(names=", ".join(name.capitalize() for name in scripts))
    return f'<span class="t-mixed">{escape(word)}</span> {_tag(mark)}'


def _tag(mark: str) -> str:
    return f'<span class="t-tag t-risk">{escape(mark)}</span>'


def _has_parts(value: Any) -> bool:
    """Return True if a value needs nested lines. Arrays of scalars are written on one line."""
    if isinstance(value, list | tuple):
        return any(isinstance(part, dict | list | tuple) for part in value)
    return isinstance(value, dict) and bool(value)
