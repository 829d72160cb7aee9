"""Download of a list as CSV: the selected columns of the rows that it shows, read page by page.

Each download leaves the receipt `list.downloaded` with the name of the list, its columns and a digest of its filters.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.formats import number_format
from django.utils.html import strip_tags
from django.utils.safestring import SafeData
from django.views.decorators.http import require_POST

from telemetry.exports.formats.csv_rows import neutralize_formula
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.admin.lists import ListPage, list_page
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex

MOST_ROWS: Final = 10_000
ROWS_PER_READ: Final = 500
_ICON: Final = re.compile(r'<span class="material-symbols-outlined"[^>]*>[^<]*</span>')
type Read = Callable[[QueryDict], ListPage]

_EMPTY: Final = "–"  # noqa: RUF001

if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class CsvDownload(_Base):
    """Adds a button to a list that downloads it."""

    def get_urls(self) -> list[URLPattern]:
        return [path("csv/", self._own(require_POST(self.csv_view)), name=self._csv_name), *super().get_urls()]

    @property
    def _csv_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_csv"

    def list_context(self, page: ListPage, *, ctx: ActingContext) -> dict[str, Any]:
        further = {"csv_url": reverse(f"admin:{self._csv_name}"), "csv_most": csv_most()}
        return {**super().list_context(page, ctx=ctx), **further}

    def csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the rows of the list that the form describes, in its order."""
        self._require_view(request)
        return download(str(self.opts.model_name), partial(self.csv_page, request), request)

    def csv_page(self, request: HttpRequest, query: QueryDict) -> ListPage:
        """Return one page of the rows of a download."""
        ctx = context_of(request)
        return list_page(
            self.get_queryset(request),
            query,
            ctx=ctx,
            filters=self.filters,
            filterset=self.filterset,
            search=partial(self.searched, ctx=ctx),
            key=self.key,
            columns=self.columns,
            finder=self.finder(query, ctx=ctx),
            most=ROWS_PER_READ,
        )


def csv_most() -> str:
    """Return the largest number of rows of a download, in the language of the reader."""
    return number_format(MOST_ROWS, force_grouping=True)


def download(name: str, read: Read, request: HttpRequest) -> StreamingHttpResponse:
    """Answer with the rows of the list `name` that the form of `request` describes. `read` returns one page of it."""
    ctx = context_of(request)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        first = read(request.POST)
    with unit_of_work(ctx.tenant_id):
        _record(name, first, ctx=ctx)
    lines = _lines(first, read, ctx=ctx, language=translation.get_language())
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8; header=present")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{clock.now():%Y%m%d-%H%M}.csv"'
    return answer


def _lines(page: ListPage, read: Read, *, ctx: ActingContext, language: str | None) -> Iterator[bytes]:
    """Yield the header and the rows. Each page is read in its own unit of work, as the reader."""
    zone = timezone.get_current_timezone()
    with translation.override(language):
        yield _written([[str(column.title) for column in page.columns]])
    for _ in range(MOST_ROWS // ROWS_PER_READ):
        with translation.override(language), timezone.override(zone):
            with unit_of_work(ctx.tenant_id, actor=ctx):
                chunk = _written([[_text(column.value(row)) for column in page.columns] for row in page.rows])
            yield chunk
            if not page.older:
                return
            with unit_of_work(ctx.tenant_id, actor=ctx):
                page = read(QueryDict(page.older.removeprefix("?")))


def _record(name: str, page: ListPage, *, ctx: ActingContext) -> None:
    inputs = {
        "list": name,
        "columns": [column.name for column in page.columns],
        "filters_sha256": sha256_hex(canonical_bytes(page.kept)),
    }
    record(Entry(kind="list.downloaded", inputs=inputs, outcome={"most_rows": MOST_ROWS}), ctx=ctx)


def _text(value: Any) -> str:
    """Return the text of a cell, in a form that no spreadsheet evaluates. Only HTML loses its tags."""
    text = str(value)
    if isinstance(value, SafeData):
        text = html.unescape(strip_tags(_ICON.sub("", text)))
    text = " ".join(text.split())
    return "" if text == _EMPTY else neutralize_formula(text)


def _written(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()
