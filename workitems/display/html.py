"""Rows of a value as HTML, in the layout of all values. Names that the schema does not describe are marked."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from threada_site.admin.fields import Line, caption, exact, lines_html, resembling, visible
from workitems.display.fields import Row
from workitems.display.titles import one_line


def rows_html(rows: Sequence[Row], *, path: str = "") -> SafeString:
    """Return rows as nested HTML; `path` leads to them."""
    return lines_html(map(_line, rows), path=path)


def value_html(row: Row) -> SafeString:
    """Return the value of one row: formatted with the exact value, nested, or a file as a link to its download."""
    if row.attachment_id:
        return file_link(row.attachment_id, row.text)
    return rows_html(row.rows, path=row.path) if row.rows else _scalar(row)


def file_link(attachment_id: str, text: str) -> SafeString:
    """Return the link that downloads an attachment."""
    address = reverse("admin:attachment", args=[attachment_id])
    return mark_safe(f'<a class="t-link" href="{address}" download>{visible(text)}</a>')  # noqa: S308 (both are escaped)


def label_html(row: Row) -> SafeString:
    """Return the caption of a row outside of its tree: label and path as HTML, and a mark for undescribed members."""
    if row.label and not row.is_nested:
        return _label(row)
    shown = caption(row.path, label=_label(row))
    return shown if row.is_described or row.is_element else mark_safe(f"{shown} {_foreign()}")  # noqa: S308 (both are escaped)


def _label(row: Row) -> SafeString:
    if not row.label:
        return SafeString("")
    hint = one_line(f"{row.description} ({row.name})" if row.description else row.name)
    return mark_safe(f'<span title="{escape(hint)}">{visible(row.label)}</span>')  # noqa: S308 (both are escaped)


def _foreign() -> SafeString:
    return SafeString(f'<span class="t-tag t-foreign">{escape(_("not in the schema"))}</span>')


def _line(row: Row) -> Line:
    remark = "" if row.label or row.is_element else _foreign()
    lines = [_line(inner) for inner in row.rows]
    if row.attachment_id:
        lines.insert(0, Line(None, file_link(row.attachment_id, row.text), label=escape(_("Download"))))
    value = "" if row.rows else _scalar(row)
    return Line(row.place[-1], value, lines, label=_label(row), remark=remark)


def _scalar(row: Row) -> SafeString:
    shown = exact(row.value)
    if row.is_lookalike:
        return resembling(shown)
    if not row.text or row.text == row.value:
        return shown
    return mark_safe(f'<span class="t-shown">{visible(row.text)}</span> <span class="t-exact">{shown}</span>')  # noqa: S308 (both are escaped)
