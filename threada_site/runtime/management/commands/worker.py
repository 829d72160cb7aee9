from __future__ import annotations

import asyncio
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from threada_site.database.connection_problems import connection_problem
from threada_site.jobs.engines.choice import CELERY, other_engine
from threada_site.jobs.enqueue import depth_left_behind
from threada_site.runtime.startup import (
    NotSafeToRunError,
    refuse_unless_of_this_instance,
    refuse_unless_safe,
    refuse_unless_signing,
)

log = structlog.get_logger("threada.worker")


class Command(BaseCommand):
    help = "Run jobs: intake decisions, executions, deadlines. May run several times, on several machines."
    requires_system_checks: list[str] = []  # they load the console and the API, 30 MB that jobs do not use

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=settings.THREADA_WORKER_CONCURRENCY,
            help="concurrent executions (THREADA_WORKER_CONCURRENCY)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            refuse_unless_safe()
            refuse_unless_signing("worker")
            refuse_unless_of_this_instance()
            _tell_of_jobs_left()
            connection.close()  # this thread needs none while it waits for the others
            is_done = _work(options["concurrency"])
        except NotSafeToRunError as error:
            raise CommandError(str(error)) from None
        except (OperationalError, PoolTimeout) as error:
            raise CommandError(connection_problem(error)) from None
        if not is_done:
            raise CommandError("The queue was lost. A supervisor should start the worker again.", returncode=1)


def _tell_of_jobs_left() -> None:
    left = depth_left_behind()
    if left.waiting or left.running:
        log.warning("jobs_left_behind", engine=other_engine(), waiting=left.waiting, running=left.running)


def _work(concurrency: int) -> bool:
    """Run the worker of the configured engine. The other engine is not loaded."""
    if settings.THREADA_ENGINE == CELERY:
        from threada_site.jobs.engines.celery.broker_check import OtherBrokerError
        from threada_site.jobs.engines.celery.supervisor import WorkerSupervisor

        try:
            return WorkerSupervisor(concurrency).run()
        except OtherBrokerError as error:
            raise NotSafeToRunError(str(error)) from None
    from threada_site.jobs.engines.procrastinate.worker import work

    return asyncio.run(work(concurrency=concurrency))
