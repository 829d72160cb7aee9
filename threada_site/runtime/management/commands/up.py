from __future__ import annotations

import errno
import os
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from policies.evaluator.pool import pool
from threada_site import postgres
from threada_site.database.connection_problems import connection_problem
from threada_site.environment import program
from threada_site.runtime.data_directory_lock import DataDirectoryInUseError, lock_data_directory
from threada_site.runtime.prepare import Preparation, prepare
from threada_site.runtime.process_environments import environments
from threada_site.runtime.processes import named, processes_of
from threada_site.runtime.separation import separated
from threada_site.runtime.startup import NotSafeToRunError
from threada_site.runtime.supervisor import Assignment, take_over
from threada_site.runtime.web.options import web_command


class Command(BaseCommand):
    help = "Prepare an instance and run it here: database, web, worker, sealer. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="the port (8000)")
        parser.add_argument("--no-demo", action="store_true", help="do not create the tenant `demo`")

    def handle(self, *_args: Any, **options: Any) -> None:
        host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
        try:
            lock = _lock(f"http://{host}:{options['port']}")
            preparation = prepare(
                host=options["host"], port=options["port"], with_demo=not options["no_demo"], progress=self._progress
            )
            accounts = separated(options["port"], self._warn) if os.geteuid() == 0 else {}
            connection.close()
            assignment = _assignment(preparation, accounts, lock=lock, host=options["host"], port=options["port"])
        except (NotSafeToRunError, postgres.EmbeddedPostgresError) as error:
            raise CommandError(str(error)) from None
        except (psycopg.Error, DatabaseError, PoolTimeout) as error:
            raise CommandError(connection_problem(error)) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise CommandError(
                f"The disk of {error.filename or settings.THREADA_DATA_DIR} is full. Free space, then try again."
            ) from None
        self._progress("starting web, worker and sealer")
        pool.end_all()  # an evaluator that checked the demo's rules would stay as a zombie of the supervisor
        take_over(assignment)

    def _warn(self, message: str) -> None:
        self.stderr.write(f"Warning: {message}")

    def _progress(self, message: str) -> None:
        self.stdout.write(f"  … {message}")
        self.stdout.flush()


def _lock(address: str) -> int:
    """Lock the data directory. Raise `NotSafeToRunError`, which names the processes of the `up` that has locked it."""
    try:
        return lock_data_directory(settings.THREADA_DATA_DIR, address=address)
    except DataDirectoryInUseError as error:
        running = [
            each
            for each in processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
            if each.pid != os.getpid()
        ]
        raise NotSafeToRunError(
            f"Threada already runs on the data directory {settings.THREADA_DATA_DIR}: "
            f"{named(running) or 'a process of another user'}{f', at {error.address}' if error.address else ''}. "
            "Stop it with manage.py down, or set another THREADA_DATA_DIR for a second instance."
        ) from None
    except OSError as error:
        raise NotSafeToRunError(
            f"The data directory {settings.THREADA_DATA_DIR} cannot be used: {error.strerror}. Let this user write to "
            "it, or set another THREADA_DATA_DIR."
        ) from None


def _assignment(
    preparation: Preparation, accounts: dict[str, dict[str, Any]], *, lock: int, host: str, port: int
) -> Assignment:
    probe_host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return Assignment(
        commands={
            "web": web_command(
                host=host,
                port=port,
                processes=settings.THREADA_WEB_PROCESSES,
                drain_s=settings.THREADA_DRAIN_SECONDS_OF_UP,
            ),
            "worker": program("worker"),
            "sealer": program("sealer"),
        },
        environments=environments(have_accounts=bool(accounts)),
        accounts=accounts,
        health_url=f"http://{f'[{probe_host}]' if ':' in probe_host else probe_host}:{port}/healthz",
        banner=preparation.banner,
        ready_file=str(settings.THREADA_DATA_DIR / f"ready-{port}"),
        embedded_root=preparation.embedded_root,
        stops_database=preparation.started_database,
        drain_s=settings.THREADA_DRAIN_SECONDS_OF_UP,
        data_dir=str(settings.THREADA_DATA_DIR),
        lock=lock,
        backup_command=tuple(program("backup", "--scheduled")) if settings.THREADA_BACKUP_DIR else (),
    )
