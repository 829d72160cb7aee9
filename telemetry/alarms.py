"""Alarm texts for status page and console: unsealed receipts, broken logs, missing partitions, jobs left in the other
engine.

Pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

UNSEALED_TOO_LONG: Final = timedelta(minutes=1)
"""Sealing takes about one second. After one minute the sealer is stopped or failing."""


def unsealed_alarm(age: timedelta) -> str | None:
    """Return the alarm text if the oldest unsealed receipt is older than one minute, else None."""
    if age < UNSEALED_TOO_LONG:
        return None
    minutes = int(age.total_seconds() // 60)
    waited = f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes < 120 else f"{minutes // 60} hours"
    return (
        f"Receipts have waited {waited} to be sealed. Work goes on, but nothing of it can be proven yet: look at the "
        "sealer."
    )


def broken_logs_alarm(count: int) -> str | None:
    """Return the alarm text if `count` logs do not match their signed checkpoints, else None."""
    if not count:
        return None
    which = "A log is not the one that was" if count == 1 else f"{count} logs are not the ones that were"
    return (
        f"{which} signed: the database was rolled back or changed. Nothing more is sealed there until it is "
        "restored, or an operator goes on from what is there (manage.py acknowledge_log)."
    )


def quarantine_alarm(count: int) -> str | None:
    """Return the alarm text if `count` receipts were refused and not decided about, else None."""
    if not count:
        return None
    which = "A receipt was" if count == 1 else f"{count} receipts were"
    return (
        f"{which} refused by the sealer, because of a missing or wrong signature or a wrong time. Look at each, and "
        "accept or discard it: manage.py quarantine."
    )


FEWEST_MONTHS_AHEAD: Final = 2


def months_alarm(ahead: int, beyond: int) -> str | None:
    """Return the alarm text if months are missing ahead, or if rows lie beyond the last month, else None."""
    if beyond:
        return (
            "A table has rows after its last month, in its partition `…_overflow`: no month is created there. Was a "
            "clock ahead? Nothing is lost; see docs/operations/database.md, Tables by month."
        )
    if ahead < FEWEST_MONTHS_AHEAD:
        return (
            f"The months that are made ahead are down to {ahead}. Work goes on, but the job telemetry.months has not "
            "come through: look at the worker, or run manage.py migrate."
        )
    return None


LEFT_TOO_LONG_S: Final = 60.0
"""A worker takes over these jobs within seconds, or within half a minute if the other worker was killed."""


def left_behind_alarm(count: int, oldest_due_s: float) -> str | None:
    """Return the alarm text if due jobs remain in the engine that this instance does not use, else None."""
    if not count or oldest_due_s < LEFT_TOO_LONG_S:
        return None
    jobs = "A job waits" if count == 1 else f"{count} jobs wait"
    return (
        f"{jobs} in the engine that THREADA_ENGINE does not name, and no worker moves them. Start a worker with "
        "the current THREADA_ENGINE; it moves them within seconds."
    )
