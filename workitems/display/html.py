"""Rows of a value as HTML, in the layout of all values. Names that the schema does not describe are marked."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from threada_site.admin.fields import Line, exact, exact_name, lines_html, place_label, visible
from workitems.display.fields import Row
from workitems.display.titles import one_line


def rows_html(rows: Sequence[Row]) -> SafeString:
    """Return rows as nested HTML."""
    return lines_html(map(_line, rows))


def value_html(row: Row) -> SafeString:
    """Return the value of one row: formatted with the exact value, nested, or a file as a link to its download."""
    if row.attachment_id:
        return file_link(row.attachment_id, row.text)
    return rows_html(row.rows) if row.rows else _scalar(row)


def file_link(attachment_id: str, text: str) -> SafeString:
    """Return the link that downloads an attachment."""
    address = reverse("admin:attachment", args=[attachment_id])
    return mark_safe(f'<a class="t-link" href="{address}" download>{visible(text)}</a>')  # noqa: S308 (both are escaped)


def label_html(row: Row) -> SafeString:
    """Return the label of a row; for a member that the schema does not describe, its name as code and a mark."""
    if row.is_element:
        return place_label(int(row.name) + 1)
    if not row.label:
        mark = f'<span class="t-tag t-foreign">{escape(_("not in the schema"))}</span>'
        return mark_safe(f"{exact_name(row.name)} {mark}")  # noqa: S308 (both are escaped)
    hint = one_line(f"{row.description} ({row.name})" if row.description else row.name)
    return mark_safe(f'<span title="{escape(hint)}">{visible(row.label)}</span>')  # noqa: S308 (both are escaped)


def _line(row: Row) -> Line:
    file = [Line(escape(_("Download")), file_link(row.attachment_id, row.text))] if row.attachment_id else []
    return (
        Line(label_html(row), lines=[*file, *(_line(inner) for inner in row.rows)])
        if row.rows
        else Line(label_html(row), _scalar(row))
    )


def _scalar(row: Row) -> SafeString:
    shown = exact(row.value)
    if not row.text or row.text == row.value:
        return shown
    return mark_safe(f'<span class="t-shown">{visible(row.text)}</span> <span class="t-exact">{shown}</span>')  # noqa: S308 (both are escaped)
