"""Choice of the engine: one setting, read at every use."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from threada_site.jobs.engines import JobTable
from threada_site.jobs.engines.procrastinate.jobs import ProcrastinateJobs
from threada_site.kernel.extras import missing_extra

PROCRASTINATE: Final = "procrastinate"
CELERY: Final = "celery"
_ENGINES: Final = (PROCRASTINATE, CELERY)


def jobs_table() -> JobTable:
    """Return the table of the engine that this instance uses. The other engine is not loaded."""
    if settings.THREADA_ENGINE == CELERY:
        from threada_site.jobs.engines.celery.outbox import OutboxJobs

        return OutboxJobs()
    return ProcrastinateJobs()


def other_engine() -> str:
    """Return the engine that this instance does not use, but may have used before."""
    return CELERY if settings.THREADA_ENGINE == PROCRASTINATE else PROCRASTINATE


def engine_problem(*, works: bool = True) -> str | None:
    """Return why no process may start with these settings, or None. The text contains no password.

    `works`: True if the process runs jobs; other processes need no broker.
    """
    if settings.THREADA_ENGINE not in _ENGINES:
        return f"THREADA_ENGINE must be {' or '.join(_ENGINES)}, not {settings.THREADA_ENGINE!r}"
    if settings.THREADA_ENGINE == CELERY:
        if works and (missing := missing_extra("celery")):
            return f"THREADA_ENGINE is celery, and {missing}"
        if not settings.THREADA_BROKER_URL:
            if not works:
                return None
            return "THREADA_ENGINE=celery needs THREADA_BROKER_URL, e.g. amqp://user:password@host:5672/threada"
        try:
            parts = urlsplit(settings.THREADA_BROKER_URL)
            is_right = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_right = False
        if not is_right:
            return "THREADA_BROKER_URL must be amqp:// or amqps://[user:password@]host[:port][/virtual host]"
    return None
