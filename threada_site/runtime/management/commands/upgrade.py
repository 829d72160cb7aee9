from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser

from threada_site.identity.owners import ownerless_by_tenant
from threada_site.runtime.upgrade.pending import lines, pending_migrations, version_before
from threada_site.runtime.upgrade.release_notes import notes_between, read_changelog
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.schema.version import newer_schema_problem, schema_problem


class Command(ProductCommand):
    help = "Migrate the database to this version, one machine at a time. --check only says what that would do."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; say what would be done")
        parser.add_argument("--json", action="store_true", help="print one JSON object (with --check)")

    def _name_ownerless(self) -> None:
        """Print the agents and services of each tenant without a known owner."""
        for slug, names in ownerless_by_tenant().items():
            self.stdout.write(
                f"In {slug}, nobody is known to control {', '.join(names)}. They ask, read and execute, and change "
                f"nothing until an owner is named: manage.py set_owner PERSON --all-of-tenant {slug}"
            )

    def run_command(self, **options: Any) -> None:
        problem = newer_schema_problem() or schema_problem()
        if problem:
            self.refuse(problem)
        pending = pending_migrations()
        before, after = version_before(), settings.THREADA_VERSION
        if not options["check"]:
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            if problem := schema_problem():
                self.refuse(problem)
            self.stdout.write(f"Applied {len(pending)} migrations. The schema is that of Threada {after}.")
            self._name_ownerless()
            return
        notes = notes_between(read_changelog(settings.THREADA_BASE_DIR), before, after)
        if options["json"]:
            facts = {
                "version_before": before,
                "version": after,
                "pending": [asdict(migration) for migration in pending],
                "running_code_may_stay": all(migration.is_compatible for migration in pending),
                "release_notes": notes,
            }
            self.stdout.write(json.dumps(facts, indent=2))
            return
        self.stdout.write(f"Schema: {before or 'none, or of a version that recorded nothing'}. Code: {after}.")
        if not pending:
            self.stdout.write("No migration is pending.")
            return
        self.stdout.write(f"{len(pending)} pending migrations:")
        for line in lines(pending):
            self.stdout.write(line)
        self.stdout.write(f"\nRelease notes:\n\n{notes}" if notes else "\nRelease notes are in CHANGELOG.md.")
