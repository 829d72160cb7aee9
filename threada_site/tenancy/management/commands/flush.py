from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connection

from threada_site.database.roles import owner_role
from threada_site.database.table_grants import append_only_tables, partitions


class Command(flush.Command):
    """Django's `flush`, run as the schema's owner, with triggers of append-only tables disabled.

    With `--no-input`, as tests call it, it empties the queue too.
    """

    def handle(self, **options: Any) -> None:
        with owner_role():
            self._switch_triggers("DISABLE")
            try:
                super().handle(**options)
                if not options["interactive"]:
                    self._execute("TRUNCATE procrastinate_jobs, tenancy_job, tenancy_worker, tenancy_relay CASCADE")
            finally:
                self._switch_triggers("ENABLE")

    def _switch_triggers(self, verb: str) -> None:
        for table in [*append_only_tables(), *partitions(connection)]:
            self._execute(f'ALTER TABLE "{table}" {verb} TRIGGER USER')

    def _execute(self, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
