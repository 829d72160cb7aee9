"""Statuses of rows that requests wait for, read by the web server for all of them at once."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from django.db import connection

from threada_site.kernel.waits import Watched


def read_statuses(watched: Collection[Watched]) -> Mapping[uuid.UUID, str]:
    """Return the current statuses of `watched`, across tenants, by one statement. Without rows, close the connection.

    Nothing of it is shown: a changed status lets the request run again, which checks permissions anew.
    """
    if not watched:
        connection.close()
        return {}
    rows = list(watched)
    try:
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                "SELECT id, status FROM threada_statuses($1::text[], $2::uuid[], $3::uuid[])",
                [[row.kind.value for row in rows], [row.id for row in rows], [row.tenant_id for row in rows]],
            )
            return dict(cursor.fetchall())
    except Exception:
        connection.close()
        raise
