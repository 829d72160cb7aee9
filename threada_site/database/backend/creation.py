from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.postgresql import creation

from threada_site.database.roles import OWNER


class DatabaseCreation(creation.DatabaseCreation):
    """Creates and drops test databases as the owner of the schema, because the login may create nothing."""

    @contextmanager
    def _nodb_cursor(self) -> Iterator[Any]:
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(f"SET ROLE {OWNER}")
            yield cursor

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self.connection.close()
        self.connection.close_pool()
        with self._nodb_cursor() as cursor:
            name = self.connection.ops.quote_name(test_database_name)
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
