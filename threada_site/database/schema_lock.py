"""Lock that lets one process change the schema at a time, on all machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

_KEY = "hashtext('threada-schema')"


@contextmanager
def schema_lock(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock. Wait while another process holds it; `on_wait` is called once before that.

    The lock belongs to a connection of its own and ends with it, so a killed process leaves none.
    """
    holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_lock({_KEY})")
            if not cursor.fetchone()[0]:
                on_wait()
                cursor.execute(f"SELECT pg_advisory_lock({_KEY})")
            try:
                yield
            finally:
                cursor.execute(f"SELECT pg_advisory_unlock({_KEY})")
    finally:
        holder.close()
