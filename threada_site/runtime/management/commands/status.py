from __future__ import annotations

import json
from typing import Any

import psutil
from django.conf import settings
from django.core.management.base import CommandParser
from django.db import DatabaseError, OperationalError, connection

from threada_site import postgres
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.roles import platform_role

_MANAGE = str(settings.THREADA_BASE_DIR / "manage.py")


class Command(ProductCommand):
    help = "What runs here, how deep and how old the queue is, and how old the oldest receipt that is not sealed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def act(self, **options: Any) -> None:
        facts: dict[str, Any] = {"processes": _processes(), "database": _database_place()}
        if not settings.DATABASE_URL and facts["database"] == "embedded, stopped":
            facts["problem"] = "The embedded PostgreSQL does not run. Start everything with: manage.py up"
        else:
            try:
                facts |= _queue_facts()
            except (OperationalError, DatabaseError) as error:
                facts["problem"] = f"The database does not answer: {str(error).splitlines()[0]}"
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2))
        else:
            for name, value in _lines(facts):
                self.stdout.write(f"{name:<24} {value}")
        if "problem" in facts:
            self.refuse(facts["problem"])


def _database_place() -> str:
    if settings.DATABASE_URL:
        return "external (DATABASE_URL)"
    cluster = postgres.status(settings.THREADA_DATA_DIR)
    return f"embedded, process {cluster.pid}" if cluster else "embedded, stopped"


def _processes() -> list[dict[str, Any]]:
    """Processes of this checkout, told by their command lines."""
    kinds = {
        "worker": "worker",
        "sealer": "sealer",
        "threada_site.wsgi:application": "web",
        "threada_site.runtime.supervisor": "up",
    }
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "create_time"]):
        line = process.info["cmdline"] or []
        kind = next((name for word, name in kinds.items() if word in line), None)
        is_ours = _MANAGE in line or process.info["cwd"] == str(settings.THREADA_BASE_DIR)
        if kind and is_ours:
            found.append({"kind": kind, "pid": process.info["pid"]})
    return sorted(found, key=lambda entry: (entry["kind"], entry["pid"]))


def _queue_facts() -> dict[str, Any]:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'),
                   (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'),
                   (SELECT extract(epoch FROM now() - min(coalesce(j.scheduled_at, e.at)))
                      FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
                     WHERE j.status = 'todo' AND coalesce(j.scheduled_at, now()) <= now()),
                   (SELECT count(*) FROM telemetry_sealqueueentry),
                   (SELECT extract(epoch FROM now() - min(r.occurred_at))
                      FROM telemetry_sealqueueentry q JOIN telemetry_receipt r ON r.id = q.id),
                   (SELECT count(*) FROM integrations_execution
                     WHERE status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown')),
                   (SELECT count(*) FROM workitems_decisionstep WHERE status = 'pending')
            """
        )
        row = cursor.fetchone()
    names = (
        "jobs_waiting",
        "jobs_running",
        "oldest_waiting_job_s",
        "receipts_not_sealed",
        "oldest_receipt_not_sealed_s",
        "open_executions",
        "pending_steps",
    )
    return {
        name: round(float(value), 1) if name.endswith("_s") and value is not None else value
        for name, value in zip(names, row, strict=True)
    }


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("database", facts["database"])]
    running = [f"{entry['kind']} ({entry['pid']})" for entry in facts["processes"]]
    lines.append(("processes", ", ".join(running) or "none"))
    for name, value in facts.items():
        if name not in ("database", "processes", "problem"):
            label = name.removesuffix("_s").replace("_", " ")
            lines.append((label, "none" if value is None else f"{value} s" if name.endswith("_s") else str(value)))
    return lines
