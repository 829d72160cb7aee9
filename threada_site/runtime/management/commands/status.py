from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import DatabaseError
from psycopg_pool import PoolTimeout

from telemetry.alarms import broken_logs_alarm, left_behind_alarm, months_alarm, quarantine_alarm, unsealed_alarm
from telemetry.receipts.keyring import ONE_ACCOUNT
from telemetry.receipts.signing import receipt_keyring
from threada_site import postgres
from threada_site.api.monitoring.local_metrics import disk_places
from threada_site.database.connection_problems import file_problem
from threada_site.database.partitioning import MONTHS_AHEAD
from threada_site.runtime.processes import RunningProcess, missing_kinds, named, processes_of
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.metrics import current_metrics

_STOPPED: Final = "embedded, stopped"
_LEAST_MEGABYTES: Final = 100


class Command(ProductCommand):
    help = "Show running processes, depth and age of the job queue, and age of the oldest unsealed receipt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run_command(self, **options: Any) -> None:
        processes = processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
        missing = missing_kinds(processes, is_alone=not settings.DATABASE_URL)
        facts: dict[str, Any] = {
            "processes": [{"kind": process.kind, "pid": process.pid} for process in processes],
            "missing": missing,
            "database": _database_place(),
            "engine": settings.THREADA_ENGINE,
        }
        if receipt_keyring().is_of_one_account():
            facts["signatures"] = ONE_ACCOUNT
        problems = [*_database_problems(facts), *_missing_problems(missing), *_disk_problems(facts)]
        if problems:
            facts["problem"] = " ".join(problems)
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2))
        else:
            for name, value in _lines(facts):
                self.stdout.write(f"{name:<24} {value}")
        if problems:
            self.refuse(*problems)


def _missing_problems(missing: list[str]) -> Iterator[str]:
    if missing:
        yield f"Not running: {', '.join(missing)}. Start what is missing; manage.py up runs everything."


def _disk_problems(facts: dict[str, Any]) -> Iterator[str]:
    """Add the free space of the fullest disk to the facts. Yield a problem if it is nearly full."""
    free, place = min((shutil.disk_usage(place).free // 1_000_000, place) for place in disk_places().values())
    facts["disk_free_megabytes"] = free
    if free < _LEAST_MEGABYTES:
        yield f"Only {free} MB are free in {place}. Free space, or enlarge the disk."


def _database_problems(facts: dict[str, Any]) -> Iterator[str]:
    """Add the metrics to the facts. Yield what is wrong with database, receipts, partitions or jobs."""
    if not settings.DATABASE_URL and facts["database"] == _STOPPED:
        yield "The embedded PostgreSQL does not run. Start everything with: manage.py up"
        return
    try:
        facts |= _measured()
    except (DatabaseError, PoolTimeout, postgres.EmbeddedPostgresError) as error:
        yield f"The database does not answer: {str(error).strip().partition(chr(10))[0]}"
        return
    except OSError as error:
        yield " ".join(file_problem(error))
        return
    if alarm := _alarm(facts):
        yield alarm


def _alarm(facts: dict[str, Any]) -> str | None:
    """Return the problem with sealing, with the partitions ahead or with the jobs, if there is one."""
    age = timedelta(seconds=facts["receipts_unsealed_oldest_seconds"])
    return (
        broken_logs_alarm(facts["logs_broken"])
        or quarantine_alarm(facts.get("receipts_quarantined", 0))
        or unsealed_alarm(age)
        or months_alarm(facts.get("months_ahead", MONTHS_AHEAD), facts.get("tables_beyond_months", 0))
        or left_behind_alarm(facts.get("jobs_left_behind", 0), facts.get("jobs_left_behind_oldest_due_seconds", 0))
    )


def _database_place() -> str:
    if settings.DATABASE_URL:
        return "external (DATABASE_URL)"
    cluster = postgres.status(settings.THREADA_DATA_DIR)
    return f"embedded, process {cluster.pid}" if cluster else _STOPPED


def _measured() -> dict[str, Any]:
    """Return the metrics of `/metrics` without their common prefix; metrics that differ only in labels are summed."""
    totals: dict[str, float] = {}
    for metric in current_metrics():
        key = metric.name.removeprefix("threada_")
        totals[key] = totals.get(key, 0) + metric.value
    return {key: round(value, 1) if key.endswith("_seconds") else int(value) for key, value in totals.items()}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    running = named([RunningProcess(**entry) for entry in facts["processes"]])
    lines = [("database", facts["database"]), ("processes", running or "none")]
    lines += [("missing", ", ".join(facts["missing"]))] if facts["missing"] else []
    for name, value in facts.items():
        if name not in ("database", "processes", "missing", "problem"):
            unit = " s" if name.endswith("_seconds") else ""
            lines.append((name.removesuffix("_seconds").replace("_", " "), f"{value}{unit}"))
    return lines
