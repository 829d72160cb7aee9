"""When sealing, the tables by month or the jobs need somebody's attention, in words for status and console. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

UNSEALED_TOO_LONG: Final = timedelta(minutes=1)
"""Sealing takes about a second. A minute says that the sealer does not run, or cannot."""


def unsealed_alarm(age: timedelta) -> str | None:
    """What to say about receipts of which the oldest has waited for `age`."""
    if age < UNSEALED_TOO_LONG:
        return None
    minutes = int(age.total_seconds() // 60)
    waited = f"{minutes} minute{'s' if minutes > 1 else ''}" if minutes < 120 else f"{minutes // 60} hours"
    return (
        f"Receipts have waited {waited} to be sealed. Work goes on, but nothing of it can be proven yet: look at the "
        "sealer."
    )


def broken_logs_alarm(count: int) -> str | None:
    """What to say about logs that are not the ones that were signed."""
    if not count:
        return None
    which = "A log is not the one that was" if count == 1 else f"{count} logs are not the ones that were"
    return (
        f"{which} signed: the database was rolled back or changed. Nothing more is sealed there until it is "
        "restored, or an operator goes on from what is there (manage.py acknowledge_log)."
    )


FEWEST_MONTHS_AHEAD: Final = 2


def months_alarm(ahead: int, beyond: int) -> str | None:
    """What to say when months are not made ahead, or rows lie behind the last one."""
    if beyond:
        return (
            "Rows lie behind the last month of a table, in its partition `…_later`: no more months are made there. Was "
            "a clock ahead? Nothing is lost; see docs/operations/database.md, Tables by month."
        )
    if ahead < FEWEST_MONTHS_AHEAD:
        return (
            f"The months that are made ahead are down to {ahead}. Work goes on, but the job telemetry.months has not "
            "come through: look at the worker, or run manage.py migrate."
        )
    return None


LEFT_TOO_LONG_S: Final = 60.0
"""A worker takes over what was left within seconds; half a minute later where another one was killed."""


def left_behind_alarm(count: int, oldest_due_s: float) -> str | None:
    """What to say when nobody takes over what waits with the engine that this instance does not run on any more."""
    if not count or oldest_due_s < LEFT_TOO_LONG_S:
        return None
    jobs = "A job waits" if count == 1 else f"{count} jobs wait"
    return (
        f"{jobs} with the engine that THREADA_ENGINE does not name, and nobody takes them over: look at the worker. "
        "One that is started with this THREADA_ENGINE does so within seconds."
    )
