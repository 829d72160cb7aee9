"""Deletion of all rows after a test that committed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
from django.core.management import call_command
from django.db import connection

from threada_site import postgres

_KEPT: Final = ("django_migrations", "django_content_type", "auth_permission")
"""Tables that `migrate` itself filled."""
_DELETE_ALL: Final = """
DO $$
DECLARE
    emptied regclass;
BEGIN
    FOR emptied IN
        SELECT oid FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL ('{KEPT}')
    LOOP
        EXECUTE format('DELETE FROM ONLY %s', emptied);
    END LOOP;
END
$$
""".replace("KEPT", ",".join(_KEPT))


class Emptying:
    """Deletion of the rows of all tables, including append-only ones.

    On the embedded server a superuser deletes with triggers and foreign keys switched off, which takes a few
    milliseconds; TRUNCATE would recreate some 400 files. Other servers use `manage.py flush`.
    """

    def __init__(self) -> None:
        self._superuser: psycopg.Connection | None = None

    def run(self) -> None:
        """Empty the database that Django is connected to, which is the same in every call."""
        root = connection.settings_dict.get("EMBEDDED_ROOT")
        if not root:
            call_command("flush", verbosity=0, interactive=False)
            return
        try:
            self._connected(Path(root)).execute(_DELETE_ALL)
        except psycopg.OperationalError:  # a test may have stopped the server, or a thread of it still holds a lock
            self.end()
            self._connected(Path(root)).execute(_DELETE_ALL)

    def end(self) -> None:
        """Close the superuser's connection, so that the database can be dropped."""
        if self._superuser is not None:
            self._superuser.close()

    def _connected(self, root: Path) -> psycopg.Connection:
        if self._superuser is None or self._superuser.closed:
            cluster = postgres.ensure_running(root)
            address = cluster.conninfo(user=cluster.superuser, dbname=connection.settings_dict["NAME"])
            options = "-c session_replication_role=replica"
            self._superuser = psycopg.connect(**address, autocommit=True, options=options)
        return self._superuser
