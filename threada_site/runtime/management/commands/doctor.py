from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError
from psycopg_pool import PoolTimeout

from threada_site.database.connection_problems import connection_problem, file_problem
from threada_site.postgres import EmbeddedPostgresError
from threada_site.runtime.doctor import instance, machine
from threada_site.runtime.doctor.findings import Finding, State, failed
from threada_site.tenancy.management.base import ProductCommand

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    instance.versions,
    instance.database,
    instance.clock,
    instance.keys,
    instance.receipts,
    machine.permissions,
    machine.disk,
    machine.processes,
    instance.owners,
    instance.people,
    instance.backup,
    instance.leftovers,
    machine.mail,
    machine.broker,
    machine.proxy,
    instance.documents,
)


class Command(ProductCommand):
    help = "Check this machine and the instance, and name the fix for each problem. Exits with 1 if a check failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run_command(self, **options: Any) -> None:
        findings = [finding for check in CHECKS for finding in results_of(check)]
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [_as_json(finding) for finding in findings]}, indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{finding.state:<8} {finding.check:<15} {finding.said}")
                if finding.fix:
                    self.stdout.write(f"{'':<24} Fix: {finding.fix}")
        count = sum(finding.state is State.FAILED for finding in findings)
        if count:
            self.refuse(f"{count} checks failed.")


def results_of(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return the findings of a check. An unusable database or file is one of them."""
    try:
        return list(check())
    except OSError as error:
        said, fix = file_problem(error)
        return [failed(check.__name__, said, fix)]
    except (DatabaseError, PoolTimeout, EmbeddedPostgresError) as error:
        said, _, fix = connection_problem(error).rstrip(".").rpartition(". ")
        return [failed(check.__name__, said, f"{fix}.")]


def _as_json(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "state": finding.state, "said": finding.said, "fix": finding.fix}
