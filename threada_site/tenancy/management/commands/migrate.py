from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DatabaseError, OperationalError, connection
from psycopg.errors import LockNotAvailable

from threada_site.database.partitioning import has_months, make_months
from threada_site.database.roles import OWNER, may_take, owner_role
from threada_site.database.schema_lock import schema_lock
from threada_site.database.table_grants import grant_tables
from threada_site.tenancy.schema.version import earlier_schema_problem, record_migrations

_LOCK_S: Final = 3
_PAUSE_S: Final = 2.0
_ATTEMPTS: Final = 20


class Command(migrate.Command):
    """Django's `migrate`, run as the schema's owner; also updates table grants and creates missing partitions."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not may_take(OWNER):
            raise CommandError(
                f"The login may not take the role {OWNER} and cannot change the schema. Set "
                "THREADA_PLATFORM_DATABASE_URL to the login that manage.py database_logins creates."
            )
        if options.get("plan") or options.get("check_unapplied"):
            with owner_role():
                super().handle(*args, **options)
            return
        if problem := earlier_schema_problem():
            raise CommandError(problem)
        with schema_lock(lambda: self.stderr.write("Waiting for another process that changes the schema.")):
            self._migrate(*args, **options)

    def _migrate(self, *args: Any, **options: Any) -> None:
        """Migrate, and try again if a lock is not free: waiting for it would hold up all requests behind it."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with owner_role(), _short_locks():
                    super().handle(*args, **options)
                    grant_tables(connection)
                    if has_months():
                        make_months()
                    record_migrations()
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable) or attempt == _ATTEMPTS:
                    raise
                self.stderr.write("A table is in use. Trying again.")
                time.sleep(_PAUSE_S)
            else:
                return


@contextmanager
def _short_locks() -> Iterator[None]:
    """Give up on a lock after a few seconds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{_LOCK_S}s"])
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
