"""HTML fragments of lists and pages. All values of rows are escaped."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_timedelta
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from threada_site.admin.words import said, word
from threada_site.kernel import clock

NOTHING: Final = "–"  # noqa: RUF001
"""Text of an empty cell."""
BLOCKED_BY_FREEZE: Final = "blocked_by_freeze"
"""Displayed state of executions and work items that a freeze keeps from being sent."""
_TONES: Final = {
    "good": {"approved", "succeeded", "resolved", "published", "live", "allow", "approve", "active", "ready",
        "confirmed", "in force", "well", "finished", "sent", "sealed", "lifted", "passed", "keep"},
    "bad": {
        "failed", "refused", "rejected", "expired", "deny", "reject", "revoked", "outcome_unknown", "policy_denied",
        "worker_lost", "stale", "inactive", "suspended", "nobody can decide", "resting", "frozen", "unknown",
        "blocked_by_freeze",
    },
    "busy": {"executing", "started", "running", "new", "draft", "planned", "probing", "due", "sending"},
    "waiting": {
        "waits for the requester",
        "waits for you",
        "open", "pending", "paused", "requested", "in_review", "awaiting_approval", "review", "require_approval",
        "failing", "not sealed yet", "not fetched yet", "proposed", "announced",
    },
}  # fmt: skip
_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)")
_TIME: Final = re.compile(r'<time datetime="([^"]+)" title="[^"]*">[^<]*</time>')
_TONE_OF: Final = {word: tone for tone, words in _TONES.items() for word in words}
_ICONS: Final = {"good": "check_circle", "bad": "error", "busy": "autorenew", "waiting": "hourglass_top"}


def badge(state: str) -> SafeString:
    """Return a state as a badge with colour and icon."""
    if not state:
        return SafeString("")
    tone = _TONE_OF.get(state, "plain")
    icon = _ICONS.get(tone)
    sign = format_html('<span class="material-symbols-outlined" aria-hidden="true">{}</span>', icon) if icon else ""
    return format_html('<span class="t-badge t-{}">{}{}</span>', tone, sign, word(state))


def status(row: Any) -> SafeString:
    """Return the status of a row as a badge, or that a freeze keeps the row from being sent (`is_frozen`)."""
    return badge(BLOCKED_BY_FREEZE if getattr(row, "is_frozen", False) else row.status)


def when(instant: datetime | None) -> SafeString:
    """Return an instant in the reader's time zone, to the second, with the exact value as title."""
    if instant is None:
        return SafeString("")
    exact = clock.rfc3339(instant)
    local = timezone.localtime(instant)
    offset = local.strftime("%z")
    named = local.tzname() or ""
    zone = named if named.isalpha() else f"UTC{offset[:3]}:{offset[3:]}"
    return format_html('<time datetime="{}" title="{}">{} {}</time>', exact, exact, f"{local:%Y-%m-%d %H:%M:%S}", zone)


def dated(sentence: str) -> SafeString:
    """Return a sentence in the reader's language, with its RFC 3339 instants in the reader's time zone."""
    pieces = _INSTANT.split(said(sentence))
    shown = (when(datetime.fromisoformat(piece)) if place % 2 else escape(piece) for place, piece in enumerate(pieces))
    return format_html_join("", "{}", ((piece,) for piece in shown))


def left(instant: datetime | None) -> SafeString:
    """Return the distance to an instant in the reader's language, `in 4 hours`, with the exact time as title."""
    if instant is None:
        return SafeString("")
    distance = format_timedelta(instant - clock.now(), add_direction=True, locale=_locale())
    exact = f"{timezone.localtime(instant):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', clock.rfc3339(instant), exact, distance)


def in_list(cell: Any) -> Any:
    """Return the cell of a list with relative times, `4 hours ago`, and the exact ones as title.

    Only lists on pages use this: downloads contain exact times.
    """
    if not isinstance(cell, SafeString):
        return cell
    return SafeString(_TIME.sub(lambda found: left(datetime.fromisoformat(found[1])), cell))


def _locale() -> Locale:
    try:
        return Locale.parse((get_language() or "en").replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Locale("en")


def code(text: Any) -> SafeString:
    """Return an id, digest or name in fixed width."""
    return format_html('<code class="t-code">{}</code>', text) if text else SafeString("")


def page_url(model: str, key: str) -> str:
    """Return the URL of a row's page: `page_url("workitems.workitem", "wi_…")`."""
    return reverse(f"admin:{model.replace('.', '_')}_change", args=[key])


def list_url(model: str) -> str:
    return reverse(f"admin:{model.replace('.', '_')}_changelist")


def row_link(model: str, key: str | None, text: Any = None) -> SafeString:
    """Return a link to a row's page, with its id as text unless `text` is given."""
    if not key:
        return SafeString("")
    return format_html('<a class="t-link" href="{}">{}</a>', page_url(model, key), text or code(key))


def titled(title: str, public_id: str) -> SafeString:
    """Return a title with its id below."""
    return format_html('{} <code class="t-code t-id">{}</code>', title, public_id)


def tags(words: Any) -> SafeString:
    """Return a row of small labels."""
    return format_html_join("", '<span class="t-tag">{}</span>', ((word,) for word in words))
