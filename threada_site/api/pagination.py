"""Keyset pages, newest first unless a list is sorted.

Cursors are opaque, signed, and bound to tenant, path, filters and order.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from threada_site.database.case_visibility import keyset_column
from threada_site.database.keyset import NEWEST_FIRST, Edge, Order, first_rows
from threada_site.kernel import errors
from threada_site.kernel.errors import FieldError

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MOST_SEARCHES: Final = 5
"""Searches for one page, if other filters leave few of the rows that each finds."""
_SIGNATURE_BYTES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


type Search = Callable[[uuid.UUID | None], Sequence[uuid.UUID]]
"""Returns the newest matching ids below the given one, newest first; an empty list if there are no more."""


def paginate(
    queryset: QuerySet[Any],
    request: Any,
    *,
    represent: Callable[[Any], dict[str, Any]],
    search: Search | None = None,
    order: Order = NEWEST_FIRST,
) -> dict[str, Any]:
    """Return one page `{data, next_cursor, has_more}`, by one statement without COUNT and OFFSET.

    With `search`, the rows whose ids it returns, newest first; a page may then be shorter than the limit although more
    follow. The column of `order` is the id or an instant.
    """
    limit = read_limit(request)
    binding = _binding(request)
    cursor = request.query_params.get("cursor")
    last = _opened(cursor, binding, order) if cursor else None
    if search is not None:
        page, below = found_rows(queryset, search, below=last.id if last else None, most=limit)
        further = None if below is None else Edge(below)
    else:
        rows = first_rows(order.sort(queryset if last is None else order.beyond(queryset, last)), limit + 1)
        page = rows[:limit]
        further = order.edge_of(page[-1]) if len(rows) > limit else None
    return {
        "data": [represent(row) for row in page],
        "next_cursor": _sealed(further, binding) if further is not None else None,
        "has_more": further is not None,
    }


def found_rows(
    queryset: QuerySet[Any], search: Search, *, below: uuid.UUID | None, most: int
) -> tuple[list[Any], uuid.UUID | None]:
    """Return up to `most` rows that `search` finds, newest first, and the id below which to continue, or None."""
    column = keyset_column(queryset)
    rows: list[Any] = []
    for _ in range(MOST_SEARCHES):
        found = search(below)
        if not found:
            return rows, None
        rows += queryset.filter(**{f"{column}__in": found}).order_by(f"-{column}")[: most + 1 - len(rows)]
        if len(rows) > most:
            return rows[:most], rows[most - 1].id
        below = found[-1]
    return rows, below


def read_limit(request: Any) -> int:
    """Return the requested page size: 1 to 200, default 50."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if problem := limit_problem(text):
        raise errors.InvalidRequest(f"limit {problem.detail}.", errors=[problem])
    return int(text)


def limit_problem(text: str) -> FieldError | None:
    """Return the error of a page size, or None."""
    if text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT:
        return None
    return FieldError("?limit", f"must be a whole number from 1 to {MAX_LIMIT}", "invalid")


def _binding(request: Any) -> bytes:
    sent = request.query_params.lists()
    filters = sorted((name, value) for name, values in sent if name not in ("cursor", "limit") for value in values)
    return repr((str(request.auth.tenant_id), request.path, filters)).encode()


def _sealed(edge: Edge, binding: bytes) -> str:
    place = edge.id.bytes
    if edge.value is not None:
        place += ((edge.value - _EPOCH) // _MICROSECOND).to_bytes(8, signed=True)
    signed = place + _signature(place, binding, settings.THREADA_CURSOR_KEYS[0])
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()


def _opened(cursor: str, binding: bytes, order: Order = NEWEST_FIRST) -> Edge:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    place, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    is_ours = any(
        hmac.compare_digest(signature, _signature(place, binding, key)) for key in settings.THREADA_CURSOR_KEYS
    )
    if len(place) != (16 if order.is_by_id else 24) or not is_ours:
        raise errors.InvalidCursor("The cursor belongs to another tenant, list or set of filters. Start without one.")
    value = None if order.is_by_id else _EPOCH + int.from_bytes(place[16:], signed=True) * _MICROSECOND
    return Edge(uuid.UUID(bytes=place[:16]), value)


def _signature(place: bytes, binding: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), place + binding, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
