"""The migrated template database, from which every test database is copied.

Migrating takes seconds, a copy takes a tenth of one. The template stays on the server between runs and is named after
the source of the schema, so that a change of the schema makes a new one.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg.errors import InsufficientPrivilege, ObjectInUse

from threada_site.database.roles import OWNER

PREFIX: Final = "threada_template_"
SOURCES: Final = ("threada_site", "workitems", "policies", "integrations", "telemetry")
SCHEMA_SOURCE: Final = "threada_site/database"
_LOCK: Final = 7_402_113
"""Advisory lock of the server: one process at a time makes or copies the template."""


def make_copy(name: str, *, fresh: bool = False) -> None:
    """Create the database `name` as a copy of the template; one that exists is replaced.

    The template is made first if it is missing, or in any case with `fresh`.
    """
    with _server() as cursor:
        template = _template(cursor, fresh=fresh)
        _drop(cursor, name)
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


@contextmanager
def empty_database(name: str) -> Iterator[None]:
    """Connect to a new database without a schema, and drop it at the end."""
    with _server() as cursor:
        _drop(cursor, name)
        cursor.execute(f'CREATE DATABASE "{name}"')
    outer = connection.settings_dict["NAME"]
    _connect_to(name)
    try:
        yield
    finally:
        _connect_to(outer)
        drop(name)


def drop(name: str) -> None:
    """Drop the database `name`."""
    with _server() as cursor:
        _drop(cursor, name)


def _drop(cursor: Any, name: str) -> None:
    """FORCE may not end an autovacuum worker; without FORCE PostgreSQL ends that worker itself, but no sessions."""
    for attempt in reversed(range(10)):
        try:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        except InsufficientPrivilege:
            try:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            except ObjectInUse:
                if not attempt:
                    raise
                continue
        return


def _template(cursor: Any, *, fresh: bool) -> str:
    wanted = PREFIX + _schema_fingerprint()
    cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{PREFIX}%"])
    present = {name for (name,) in cursor.fetchall()}
    if wanted in present and not fresh:
        return wanted
    for name in present:
        _drop(cursor, name)
    unfinished = f"{wanted}_unfinished"
    cursor.execute(f'CREATE DATABASE "{unfinished}"')
    outer = connection.settings_dict["NAME"]
    _connect_to(unfinished)
    try:
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        _connect_to(outer)
    cursor.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{wanted}"')
    return wanted


@contextmanager
def _server() -> Iterator[Any]:
    """Yield a cursor of the schema's owner in the server's own database, under the lock."""
    address = connection.get_connection_params()
    own = {name: address[name] for name in ("host", "port", "user", "password") if address.get(name)}
    with psycopg.connect(**own, dbname="postgres", autocommit=True) as server, server.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        yield cursor


def _connect_to(name: str) -> None:
    connection.close()
    connection.close_pool()
    connection.settings_dict["NAME"] = name


@cache
def fingerprint() -> str:
    """Digest of the whole source, the package versions, and the month."""
    base = settings.THREADA_BASE_DIR
    return _digest(path for folder in SOURCES for path in (base / folder).rglob("*") if path.suffix in (".py", ".sql"))


@cache
def _schema_fingerprint() -> str:
    """Digest of everything that decides what `migrate` makes: migrations, models, SQL, permissions, package versions,
    and the month (it creates the partitions of the months ahead)."""
    base = settings.THREADA_BASE_DIR
    return _digest(
        path
        for folder in SOURCES
        for path in (base / folder).rglob("*")
        if path.suffix == ".sql"
        or (
            path.suffix == ".py"
            and (
                "migrations" in path.parts or path.stem.endswith("models") or path.is_relative_to(base / SCHEMA_SOURCE)
            )
        )
    )


def _digest(files: Iterable[Path]) -> str:
    base = settings.THREADA_BASE_DIR
    digest = hashlib.sha256(f"{sys.version} {datetime.now(UTC):%Y-%m}".encode())
    for file in [base / "pyproject.toml", base / "threada_site/kernel/context.py", *sorted(files)]:
        digest.update(f"{file.relative_to(base)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
