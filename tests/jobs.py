"""Running queued jobs in the test's own process, in the order in which they were enqueued."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import connection
from procrastinate.contrib.django import app

from threada_site.tenancy.jobs import NOTICE_QUEUE
from threada_site.tenancy.roles import platform_role


def queued_jobs(*, telling: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Task name and arguments of every job that waits, also of those that are not due yet. Those that tell people of it
    stand beside the governed loop: they are left out, or are all there is with `telling`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT task_name, args FROM procrastinate_jobs WHERE status = 'todo' AND (queue_name = %s) = %s ORDER BY id",
            [NOTICE_QUEUE, telling],
        )
        return [(name, _loaded(arguments)) for name, arguments in cursor.fetchall()]


def run_jobs(*, ahead_of_time: bool = False) -> list[str]:
    """Run everything that is due, and what that enqueues, until nothing is left; the names of the tasks, in order, but
    for those that tell people.

    With `ahead_of_time` jobs that are scheduled for later run too.
    """
    ran = []
    while (taken := _take(ahead_of_time=ahead_of_time)) is not None:
        name, arguments = taken
        app.tasks[name].func(**arguments)
        if app.tasks[name].queue != NOTICE_QUEUE:
            ran.append(name)
        assert len(ran) < 1000, f"jobs keep enqueueing jobs: {ran[-5:]}"
    return ran


def _take(*, ahead_of_time: bool) -> tuple[str, dict[str, Any]] | None:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM procrastinate_jobs WHERE id = (SELECT id FROM procrastinate_jobs WHERE status = 'todo' "
            "AND (%s OR scheduled_at IS NULL OR scheduled_at <= now()) ORDER BY id LIMIT 1) RETURNING task_name, args",
            [ahead_of_time],
        )
        row = cursor.fetchone()
    return None if row is None else (row[0], _loaded(row[1]))


def _loaded(arguments: Any) -> dict[str, Any]:
    return orjson.loads(arguments) if isinstance(arguments, str | bytes) else arguments
