"""Preparation of a PostgreSQL for Threada: roles, database and the logins of the product.

Only this module uses a superuser. The embedded server is prepared on first use. For an external server, `manage.py up`
prepares it once if DATABASE_URL names a superuser, and stores the passwords of the logins it created in the data
directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from threada_site import postgres
from threada_site.database.logins import new_passwords, scram_verifier
from threada_site.database.role_names import APP, LIMIT_OF_WEB, MEMBERSHIPS, OWNER, PLATFORM, PLATFORM_LOGIN, ROLES
from threada_site.database.stored_logins import server_of, store_passwords, stored_passwords
from threada_site.environment import is_web

EMBEDDED_DATABASE: Final = "threada"
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


def prepare(superuser: dict[str, Any], *, database: str, passwords: dict[str, str] | None = None) -> None:
    """Create missing roles, logins and database. Idempotent, even when two processes run it at the same time.

    Takes from the web's login the roles that it had in earlier versions, in which it was the only one.
    """
    with psycopg.connect(**{**superuser, "dbname": "postgres"}, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('threada-prepare'))")
        with connection.transaction():
            _create_roles(connection)
        for login, password in (passwords or {}).items():
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(login), sql.Literal(scram_verifier(password))
                )
            )
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if known is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(OWNER))
            )
        elif not _has_all_privileges(connection, database):
            connection.execute(
                sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(OWNER))
            )
        _let_owner_create_tables({**superuser, "dbname": database})


def _create_roles(connection: psycopg.Connection[Any]) -> None:
    existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'threada%'")}
    for name, options in ROLES.items():
        if name not in existing:
            connection.execute(f"CREATE ROLE {name} {options}")
            if "NOLOGIN" not in options:
                # For solid-state disks. With the default, meant for spinning disks, lists filtered by channel, workflow
                # or status scan the primary key instead of the filter's own index.
                connection.execute(f"ALTER ROLE {name} SET random_page_cost = 1.1")
    if PLATFORM_LOGIN not in existing:
        for grant in MEMBERSHIPS:
            connection.execute(grant)
        connection.execute(f"REVOKE {OWNER}, {PLATFORM} FROM {APP}")
    limited = "SELECT FROM pg_roles WHERE rolname = %s AND rolconfig::text LIKE '%%statement_timeout=%%'"
    if connection.execute(limited, [APP]).fetchone() is None:
        connection.execute(LIMIT_OF_WEB)


def _has_all_privileges(connection: psycopg.Connection[Any], database: str) -> bool:
    """Return True if the owner needs no grant. Without one, a command writes nothing, which a full disk may refuse."""
    row = connection.execute(
        "SELECT bool_and(has_database_privilege(%s, %s, kind)) FROM unnest('{CREATE,CONNECT,TEMPORARY}'::text[]) kind",
        [OWNER, database],
    ).fetchone()
    return row == (True,)


def _let_owner_create_tables(superuser: dict[str, Any]) -> None:
    """Grant the owner CREATE. Under the caller's lock: concurrent grants fail with "tuple concurrently updated"."""
    with psycopg.connect(**superuser, autocommit=True) as connection:
        may = connection.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [OWNER]).fetchone()
        if may != (True,):
            connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")


def is_superuser(url: str) -> bool:
    """Return True if the login in a DATABASE_URL is a superuser of its server. Its database need not exist yet.

    Raise psycopg.OperationalError if the server cannot be used, or if the database of another login does not exist.
    """
    try:
        return _is_superuser(url)
    except psycopg.OperationalError as error:
        try:
            is_there = _is_superuser(make_conninfo(url, dbname="postgres"))
        except psycopg.OperationalError:
            raise error from None
        if not is_there:
            raise
        return True


def _is_superuser(url: str) -> bool:
    with psycopg.connect(make_conninfo(url, **{"connect_timeout": "5", **conninfo_to_dict(url)})) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def prepare_external(url: str, data_dir: Path) -> None:
    """Prepare the server that `url` (a superuser's) names, and store the passwords of the two logins created there."""
    parameters = conninfo_to_dict(url)
    passwords = new_passwords()
    prepare(parameters, database=str(parameters.get("dbname") or "postgres"), passwords=passwords)
    store_passwords(data_dir, server_of(url), passwords)


def has_both_logins(url: str, data_dir: Path) -> bool:
    """Return True if `prepare_external` created the web's login and the others' on the server of `url`."""
    return {APP, PLATFORM_LOGIN} <= stored_passwords(data_dir, server_of(url)).keys()


def login_url(url: str, data_dir: Path, *, login: str = "") -> str:
    """Return the URL to connect with: `url` itself, or that of a login that `prepare_external` created for it.

    `login`: by default the web's in a web process, and the platform's elsewhere.
    """
    passwords = stored_passwords(data_dir, server_of(url))
    login = login or (APP if is_web() else PLATFORM_LOGIN)
    login = login if login in passwords else APP
    return make_conninfo(url, user=login, password=passwords[login]) if login in passwords else url


def connection_parameters(url: str, data_dir: Path) -> dict[str, Any]:
    """Return `login_url` as libpq keywords, with timeouts that detect a lost machine at both ends.

    Without them, PostgreSQL would keep the locks of such a machine for hours. Values in the URL take precedence; for a
    pooler that rejects `options`, set it empty.
    """
    return {**_PATIENCE, **conninfo_to_dict(login_url(url, data_dir))}
