"""Correlation ids: one per request, taken from the request if well-formed; part of logs, receipts and answers."""

from __future__ import annotations

import re
from typing import Final

from threada_site.kernel import ids

HEADER: Final = "Threada-Correlation-Id"
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,127}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def correlation_id_for(sent: str | None, traceparent: str | None) -> str:
    """Return the sent id, else the trace id of a W3C `traceparent`, else a new id."""
    if sent and _WELL_FORMED.fullmatch(sent):
        return sent
    if traceparent and (match := _TRACEPARENT.fullmatch(traceparent)) and match[1] != "0" * 32:
        return match[1]
    return ids.new_uuid().hex
