"""Metrics of the database server."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from threada_site.kernel.metrics import Metric


def connection_metrics() -> Iterator[Metric]:
    """Yield the connections to this database from all machines, and the most that the server accepts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()), "
            "current_setting('max_connections')::int"
        )
        open_now, most = cursor.fetchone()
    yield Metric("threada_database_connections", "Connections to the database.", open_now)
    yield Metric("threada_database_connections_max", "Connections that the server accepts.", most)
