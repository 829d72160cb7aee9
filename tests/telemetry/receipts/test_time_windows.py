from __future__ import annotations

from datetime import UTC, datetime, timedelta

from telemetry.receipts.time_windows import Window, window
from threada_site.kernel import ids

NOW = datetime(2026, 5, 4, 12, 0, 0, 123_456, UTC)
MONTH = timedelta(days=31)


def test_up_to_now_includes_clocks_that_are_a_day_ahead() -> None:
    """Another machine's clock may be ahead, so that its receipts have later ids than the current time."""
    asked = window(None, None, now=NOW, longest=MONTH)
    assert asked == Window(NOW - MONTH, NOW, is_open=True)
    assert asked.end_id == ids.first_id_at(NOW + ids.CLOCKS_DIFFER)


def test_an_end_that_was_asked_for_is_kept_to() -> None:
    asked = window(None, NOW, now=NOW + timedelta(days=1), longest=MONTH)
    assert (asked.is_open, asked.end_id) == (False, ids.first_id_at(NOW))
    shorter = window(NOW - 2 * MONTH, None, now=NOW, longest=MONTH)
    assert (shorter.is_open, shorter.before) == (False, NOW - MONTH)
