"""Keyset pages over ids, newest first. Cursors are opaque, signed, and bound to tenant, path and filters."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet

from threada_site.database.case_visibility import keyset_column
from threada_site.kernel import errors
from threada_site.kernel.errors import FieldError

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_SIGNATURE_BYTES: Final = 16


def paginate(queryset: QuerySet[Any], request: Any, *, represent: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return one page `{data, next_cursor, has_more}`, by one statement without COUNT and OFFSET."""
    limit = read_limit(request)
    binding = _binding(request)
    cursor = request.query_params.get("cursor")
    column = keyset_column(queryset)
    if cursor:
        queryset = queryset.filter(**{f"{column}__lt": _opened(cursor, binding)})
    rows = list(queryset.order_by(f"-{column}")[: limit + 1])
    page = rows[:limit]
    has_more = len(rows) > limit
    return {
        "data": [represent(row) for row in page],
        "next_cursor": _sealed(page[-1].id, binding) if has_more else None,
        "has_more": has_more,
    }


def read_limit(request: Any) -> int:
    """Return the requested page size: 1 to 200, default 50."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise errors.InvalidRequest(
            f"limit must be a whole number from 1 to {MAX_LIMIT}.",
            errors=[FieldError("?limit", f"must be a whole number from 1 to {MAX_LIMIT}", "invalid")],
        )
    return int(text)


def _binding(request: Any) -> bytes:
    filters = sorted((name, value) for name, value in request.query_params.items() if name not in ("cursor", "limit"))
    return repr((str(request.auth.tenant_id), request.path, filters)).encode()


def _sealed(last_id: uuid.UUID, binding: bytes) -> str:
    return (
        base64.urlsafe_b64encode(last_id.bytes + _signature(last_id.bytes, binding, settings.THREADA_CURSOR_KEYS[0]))
        .rstrip(b"=")
        .decode()
    )


def _opened(cursor: str, binding: bytes) -> uuid.UUID:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    last_id, signature = raw[:16], raw[16:]
    is_ours = any(
        hmac.compare_digest(signature, _signature(last_id, binding, key)) for key in settings.THREADA_CURSOR_KEYS
    )
    if len(raw) != 16 + _SIGNATURE_BYTES or not is_ours:
        raise errors.InvalidCursor("The cursor belongs to another tenant, list or set of filters. Start without one.")
    return uuid.UUID(bytes=last_id)


def _signature(last_id: bytes, binding: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), last_id + binding, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
