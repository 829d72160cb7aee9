from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import psycopg
from django.db.backends.postgresql import base, operations

from threada_site.database.backend.creation import DatabaseCreation

_SECONDS_BETWEEN_LOOKS: Final = 1.0


class DatabaseOperations(operations.DatabaseOperations):
    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """For Django's debug log: a prepared statement as it was sent, with `$1` for its first parameter."""
        if isinstance(cursor, psycopg.RawCursor):
            return sql
        return super().last_executed_query(cursor, sql, params)


class DatabaseWrapper(base.DatabaseWrapper):
    """Starts the embedded server when somebody asks where it listens and it does not run.

    A connection is asked for by every request, so the server is looked for once a second at most.

    `DATABASES["default"]["EMBEDDED_ROOT"]` names the data directory of the embedded server; without it this is
    Django's own backend.
    """

    creation_class = DatabaseCreation
    ops_class = DatabaseOperations
    _looked_at = float("-inf")

    def get_connection_params(self) -> dict[str, Any]:
        root = self.settings_dict.get("EMBEDDED_ROOT")
        is_fresh = self.settings_dict["HOST"] and time.monotonic() - self._looked_at < _SECONDS_BETWEEN_LOOKS
        if root and not is_fresh:
            from threada_site.database.bootstrap import ensure_embedded_database

            address = ensure_embedded_database(Path(root))
            self.settings_dict["HOST"] = address.host
            self.settings_dict["PORT"] = str(address.port)
            type(self)._looked_at = time.monotonic()
        return super().get_connection_params()

    def prepared_cursor(self) -> Any:
        """A cursor for the statements of every request: PostgreSQL parses and plans them once per connection.

        Parameters are written `$1`, `$2` and bound by the server; where their type is not plain, the statement says it.
        Django's own cursors write parameters into the text, to be parsed anew each time.
        """
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(psycopg.RawCursor(self.connection))  # type: ignore[attr-defined]
