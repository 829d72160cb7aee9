from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psutil
from django.conf import settings
from django.core.management.base import CommandParser
from django.db import DatabaseError

from telemetry.alarms import broken_logs_alarm, left_behind_alarm, months_alarm, unsealed_alarm
from threada_site import postgres
from threada_site.database.partitioning import MONTHS_AHEAD
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.metrics import current_metrics

_MANAGE = str(settings.THREADA_BASE_DIR / "manage.py")


class Command(ProductCommand):
    help = "Show running processes, depth and age of the job queue, and age of the oldest unsealed receipt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run_command(self, **options: Any) -> None:
        facts: dict[str, Any] = {
            "processes": _processes(),
            "database": _database_place(),
            "engine": settings.THREADA_ENGINE,
        }
        if not settings.DATABASE_URL and facts["database"] == "embedded, stopped":
            facts["problem"] = "The embedded PostgreSQL does not run. Start everything with: manage.py up"
        else:
            try:
                facts |= _measured()
                facts |= _alarm(facts)
            except DatabaseError as error:
                facts["problem"] = f"The database does not answer: {str(error).splitlines()[0]}"
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2))
        else:
            for name, value in _lines(facts):
                self.stdout.write(f"{name:<24} {value}")
        if "problem" in facts:
            self.refuse(facts["problem"])


def _alarm(facts: dict[str, Any]) -> dict[str, str]:
    """Return the problem with sealing, with the partitions ahead or with the jobs, if there is one."""
    age = timedelta(seconds=facts["receipts_unsealed_oldest_seconds"])
    alarm = (
        broken_logs_alarm(facts["logs_broken"])
        or unsealed_alarm(age)
        or months_alarm(facts.get("months_ahead", MONTHS_AHEAD), facts.get("tables_beyond_months", 0))
        or left_behind_alarm(facts.get("jobs_left_behind", 0), facts.get("jobs_left_behind_oldest_due_seconds", 0))
    )
    return {"problem": alarm} if alarm else {}


def _database_place() -> str:
    if settings.DATABASE_URL:
        return "external (DATABASE_URL)"
    cluster = postgres.status(settings.THREADA_DATA_DIR)
    return f"embedded, process {cluster.pid}" if cluster else "embedded, stopped"


def _processes() -> list[dict[str, Any]]:
    """Return the processes of this checkout, identified by their command lines. A worker and its children count as
    one."""
    kinds = {
        "worker": "worker",
        "sealer": "sealer",
        "threada_site.wsgi:application": "web",
        "threada_site.runtime.supervisor": "up",
    }
    found: dict[int, tuple[str, int]] = {}
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        kind = next((name for word, name in kinds.items() if word in line), None)
        is_ours = _MANAGE in line or process.info["cwd"] == str(settings.THREADA_BASE_DIR)
        if kind and is_ours:
            found[process.info["pid"]] = (kind, process.info["ppid"])
    workers = {pid for pid, (kind, _) in found.items() if kind == "worker"}
    shown = [(kind, pid) for pid, (kind, parent) in found.items() if pid not in workers or parent not in workers]
    return [{"kind": kind, "pid": pid} for kind, pid in sorted(shown)]


def _measured() -> dict[str, Any]:
    """Return the metrics of `/metrics` without their common prefix; metrics that differ only in labels are summed."""
    totals: dict[str, float] = {}
    for metric in current_metrics():
        key = metric.name.removeprefix("threada_")
        totals[key] = totals.get(key, 0) + metric.value
    return {key: round(value, 1) if key.endswith("_seconds") else int(value) for key, value in totals.items()}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    running = [f"{entry['kind']} ({entry['pid']})" for entry in facts["processes"]]
    lines = [("database", facts["database"]), ("processes", ", ".join(running) or "none")]
    for name, value in facts.items():
        if name not in ("database", "processes", "problem"):
            unit = " s" if name.endswith("_seconds") else ""
            lines.append((name.removesuffix("_seconds").replace("_", " "), f"{value}{unit}"))
    return lines
