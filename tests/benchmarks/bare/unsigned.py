"""The product's WSGI application without signatures of receipts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from threada_site.wsgi import (  # noqa: F401
    answers_unread,
    application,
    body_limit,
    password_precedence,
    read_statuses,
    refusal_page,
    refuse,
)


def _leave(_self: Any, _rows: list[Any]) -> None:
    return


import_module("telemetry.receipts.signing").SignReceipts.__call__ = _leave
