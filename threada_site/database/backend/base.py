from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import psycopg
from django.db.backends.postgresql import base, operations

_SECONDS_BETWEEN_CHECKS: Final = 1.0


class DatabaseOperations(operations.DatabaseOperations):
    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """Return the statement for Django's debug log. A prepared statement is shown as sent, with `$1` for its first
        parameter."""
        if isinstance(cursor, psycopg.RawCursor):
            return sql
        return super().last_executed_query(cursor, sql, params)


class DatabaseWrapper(base.DatabaseWrapper):
    """Starts the embedded server when its address is requested and it does not run.

    Every request asks for a connection, so the server is checked at most once a second.

    `DATABASES["default"]["EMBEDDED_ROOT"]` is the data directory of the embedded server; without it, this is Django's
    backend.
    """

    ops_class = DatabaseOperations
    _checked_at = float("-inf")
    open_batch: Any = None  # writes that `batched_writes` collects on this connection

    def get_connection_params(self) -> dict[str, Any]:
        root = self.settings_dict.get("EMBEDDED_ROOT")
        is_fresh = self.settings_dict["HOST"] and time.monotonic() - self._checked_at < _SECONDS_BETWEEN_CHECKS
        if root and not is_fresh:
            from threada_site.database.bootstrap import ensure_embedded_database

            address = ensure_embedded_database(Path(root))
            self.settings_dict["HOST"] = address.host
            self.settings_dict["PORT"] = str(address.port)
            type(self)._checked_at = time.monotonic()
        return super().get_connection_params()

    def close_pool(self) -> None:
        """Close the pool if there is one. Django would create it first, and so start a stopped embedded server."""
        if self.alias in self._connection_pools:  # type: ignore[attr-defined]
            super().close_pool()  # type: ignore[misc]

    def pool_state(self) -> dict[str, int]:
        """Return the numbers of connections and waiting requests of this process; empty without a pool."""
        pools: dict[str, Any] = self._connection_pools  # type: ignore[attr-defined]
        return pools[self.alias].get_stats() if self.alias in pools else {}

    def prepared_cursor(self) -> Any:
        """Return a cursor for frequent statements: PostgreSQL parses and plans them once per connection.

        Parameters are written `$1`, `$2` and bound by the server; a statement must cast those whose type is ambiguous.
        Django's own cursors write parameters into the text, so PostgreSQL parses it every time.
        """
        self.ensure_connection()
        self.validate_thread_sharing()
        with self.wrap_database_errors:
            cursor: Any = psycopg.RawCursor(self.connection)  # type: ignore[attr-defined]
        return self.make_debug_cursor(cursor) if self.queries_logged else self.make_cursor(cursor)

    def binary_cursor(self) -> Any:
        """Return a cursor that reads values in PostgreSQL's binary form, with the types of nested rows.

        Its statements have no parameters.
        """
        self.ensure_connection()
        self.validate_thread_sharing()
        with self.wrap_database_errors:
            cursor: Any = psycopg.RawCursor(self.connection)  # type: ignore[attr-defined]
            cursor.format = psycopg.pq.Format.BINARY
        return self.make_debug_cursor(cursor) if self.queries_logged else self.make_cursor(cursor)
