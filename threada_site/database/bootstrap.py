"""Preparation of a PostgreSQL for Threada: roles, database and the login of the product.

Only this module uses a superuser. The embedded server is prepared on first use. For an external server, `manage.py up`
(or `manage.py bootstrap_database`) prepares it once if DATABASE_URL names a superuser, and stores the password of the
login it created in the data directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from threada_site import postgres
from threada_site.database.role_names import APP, OWNER, PLATFORM

EMBEDDED_DATABASE: Final = "threada"
_LOGINS_FILE: Final = "database-logins.json"
# A connection ends after ten seconds without an acknowledgement. `options`: the same at the server's end.
_PATIENCE: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=10000",
}

_prepared: set[Path] = set()


class Address(NamedTuple):
    """Address of an embedded server: the directory of its Unix socket, and the port in the socket's name."""

    host: str
    port: int


def ensure_embedded_database(root: Path) -> Address:
    """Start the embedded server of `root` if it is stopped, prepare it once per process, and return its address."""
    cluster = postgres.ensure_running(root)
    if root not in _prepared:
        prepare(cluster.conninfo(user=cluster.superuser, dbname="postgres"), database=EMBEDDED_DATABASE)
        _prepared.add(root)
    return Address(str(cluster.socket_dir), cluster.port)


def prepare(superuser: dict[str, Any], *, database: str, password: str | None = None) -> None:
    """Create missing roles, login and database. Idempotent, even when two processes run it at the same time."""
    with psycopg.connect(**{**superuser, "dbname": "postgres"}, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('threada-prepare'))")
        existing = {
            name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'threada%'")
        }
        if OWNER not in existing:
            connection.execute(f"CREATE ROLE {OWNER} NOLOGIN CREATEDB")
        if PLATFORM not in existing:
            connection.execute(f"CREATE ROLE {PLATFORM} NOLOGIN")
        if APP not in existing:
            connection.execute(f"CREATE ROLE {APP} LOGIN NOINHERIT")
            connection.execute(f"GRANT {OWNER}, {PLATFORM} TO {APP}")
            # For solid-state disks. With the default, meant for spinning disks, lists filtered by channel, workflow or
            # status scan the primary key instead of the filter's own index.
            connection.execute(f"ALTER ROLE {APP} SET random_page_cost = 1.1")
        if password is not None:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(APP), sql.Literal(password)))
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if known is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(OWNER))
            )
        else:
            connection.execute(
                sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(OWNER))
            )
        _let_owner_create_tables({**superuser, "dbname": database})


def _let_owner_create_tables(superuser: dict[str, Any]) -> None:
    """Grant the owner CREATE. Under the caller's lock: concurrent grants fail with "tuple concurrently updated"."""
    with psycopg.connect(**superuser, autocommit=True) as connection:
        may = connection.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [OWNER]).fetchone()
        if may != (True,):
            connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")


def is_superuser(url: str) -> bool:
    """Return True if the login in a DATABASE_URL is a superuser of its server."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def prepare_external(url: str, data_dir: Path) -> str:
    """Prepare the server that `url` (a superuser's) names, and return the URL of the login created there."""
    parameters = conninfo_to_dict(url)
    password = secrets.token_urlsafe(24)
    prepare(parameters, database=str(parameters.get("dbname") or "postgres"), password=password)
    path = data_dir / _LOGINS_FILE
    logins = json.loads(path.read_text()) if path.exists() else {}
    logins[_fingerprint(url)] = password
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(logins, file)
    temporary.replace(path)
    return login_url(url, data_dir)


def login_url(url: str, data_dir: Path) -> str:
    """Return the URL to connect with: `url` itself, or that of the login that `prepare_external` created for it."""
    path = data_dir / _LOGINS_FILE
    password = json.loads(path.read_text()).get(_fingerprint(url)) if path.exists() else None
    return make_conninfo(url, user=APP, password=password) if password else url


def connection_parameters(url: str, data_dir: Path) -> dict[str, Any]:
    """Return `login_url` as libpq keywords, with timeouts that detect a lost machine at both ends.

    Without them, PostgreSQL would keep the locks of such a machine for hours. Values in the URL take precedence; for a
    pooler that rejects `options`, set it empty.
    """
    return {**_PATIENCE, **conninfo_to_dict(login_url(url, data_dir))}


def _fingerprint(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
