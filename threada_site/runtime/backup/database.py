"""Dump and restore of the database with PostgreSQL's own programs, and the logins that may do so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connection as default_connection
from psycopg import IsolationLevel, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from threada_site import postgres
from threada_site.database.bootstrap import ensure_embedded_database, login_url
from threada_site.database.role_names import OWNER, PLATFORM, PLATFORM_LOGIN
from threada_site.database.stored_logins import EMBEDDED, stored_passwords
from threada_site.postgres.binaries import locate
from threada_site.runtime.backup.archive import blocks_of
from threada_site.tenancy.schema.version import schema_problem

_PLACES: Final = Path("/usr/lib/postgresql")
_LOGIN: Final = "THREADA_BACKUP_DATABASE_URL"
SCRATCH: Final = "^threada_(restored|rehearsal)_[0-9a-f]{12}(_replaced)?$"
"""Pattern of the names of databases that a restore or a verification creates and drops."""
_RECORDS: Final = "public.api_idempotencyrecord"
_COLUMNS: Final = f"""
SELECT attname FROM pg_attribute
 WHERE attrelid = to_regclass('{_RECORDS}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_HOW_TO_DUMP: Final = (
    "A dump needs a login that bypasses row-level security; with this one it would be empty. As a superuser: CREATE "
    "ROLE threada_backup LOGIN BYPASSRLS PASSWORD '…'; GRANT pg_read_all_data TO threada_backup; then set "
    f"{_LOGIN} to its URL."
)
_HOW_TO_RESTORE: Final = f"A restore needs a superuser of the server. Set {_LOGIN} to its URL for this command."


class DatabaseProblem(Exception):
    """A dump or restore is not possible, or failed. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database, with the login for dumps and restores, and that of other commands."""

    conninfo: str
    commands_conninfo: str

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.conninfo).get("dbname") or "postgres")

    def named(self, name: str) -> Database:
        return Database(make_conninfo(self.conninfo, dbname=name), make_conninfo(self.commands_conninfo, dbname=name))


def database() -> Database:
    """Return the database of the instance. Starts the embedded server if it is stopped."""
    name = default_connection.settings_dict["NAME"]
    if settings.DATABASE_URL:
        commands = login_url(settings.DATABASE_URL, settings.THREADA_DATA_DIR)
        return Database(settings.THREADA_BACKUP_DATABASE_URL or settings.DATABASE_URL, commands).named(name)
    root = settings.THREADA_DATA_DIR
    cluster = postgres.ensure_running(root)
    ensure_embedded_database(root)
    login = {"user": PLATFORM_LOGIN, "password": stored_passwords(root, EMBEDDED).get(PLATFORM_LOGIN)}
    place: dict[str, Any] = cluster.conninfo(user=cluster.superuser, dbname=name)
    return Database(make_conninfo(**place), make_conninfo(**{**place, **login}))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a database, which all that is read from it shows. `program`: pg_dump."""

    source: Database
    connection: psycopg.Connection[Any]
    program: Path

    def dump(self) -> Iterator[bytes]:
        """Yield the dump in PostgreSQL's custom format, without idempotency records.

        Raise `DatabaseProblem`, also if pg_dump fails at the end.
        """
        exported = self.connection.execute("SELECT pg_export_snapshot()").fetchall()
        command = [str(self.program), "--format=custom", "--no-unlogged-table-data", "--no-password"]
        command += [f"--snapshot={exported[0][0]}", f"--exclude-table-data={_RECORDS}"]
        with _running(command, self.source, stdout=subprocess.PIPE) as process:
            yield from blocks_of(process.stdout)

    def idempotency_records(self) -> Iterator[bytes]:
        """Yield the idempotency records as COPY writes them, with empty answers."""
        columns = [name for (name,) in self.connection.execute(_COLUMNS)]
        if not columns:
            return
        selected = [sql.SQL("''::bytea") if name == "response" else sql.Identifier(name) for name in columns]
        query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(sql.SQL(", ").join(selected), sql.SQL(_RECORDS))
        with self.connection.cursor().copy(query) as rows:
            yield from map(bytes, rows)


@contextmanager
def snapshot_of(source: Database) -> Iterator[Snapshot]:
    """Open a snapshot for a dump. Raise `DatabaseProblem`."""
    with _connected(source) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row != (True,):
            raise DatabaseProblem(_HOW_TO_DUMP)
        program = _program("pg_dump", connection)
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET {name} = 0")
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            yield Snapshot(source, connection, program)


def copy_cluster(source: Database, folder: Path) -> None:
    """Copy the files of the whole server into a new folder, as a base for point-in-time recovery.

    Raise `DatabaseProblem`.
    """
    with _connected(source) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row != (True,):
            raise DatabaseProblem(f"A copy of the server needs a login with REPLICATION. Set {_LOGIN} to its URL.")
        program = _program("pg_basebackup", connection)
    with _running([str(program), f"--pgdata={folder}", "--checkpoint=fast", "--no-password"], source):
        pass


@contextmanager
def restored(
    target: Database, name: str, blocks: Iterable[bytes], *, records: Iterable[bytes] = ()
) -> Iterator[Database]:
    """Restore a dump into a new database `name` of the same server. Drop it again unless it was renamed in the block.

    `records`: the idempotency records, which a dump of an earlier version contains itself.

    Raise `DatabaseProblem`, also if this version can neither use nor upgrade the schema in it.
    """
    new = target.named(name)
    with _connected(target) as connection:
        _require_superuser(connection)
        program = _program("pg_restore", connection)
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                sql.Identifier(name), sql.Identifier(OWNER)
            )
        )
    try:
        command = [str(program), "--format=custom", "--single-transaction", "--no-password"]
        with _running(command, new, stdin=subprocess.PIPE) as process, suppress(BrokenPipeError):
            process.stdin.writelines(blocks)
        with _connected(new) as connection:
            with connection.cursor().copy(f"COPY {_RECORDS} FROM STDIN") as rows:
                for block in records:
                    rows.write(block)
            connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
            connection.execute("ANALYZE")
            problem = schema_problem(connection.cursor())
        if problem:
            raise DatabaseProblem(problem)
        yield new
    finally:
        with _connected(target.named("postgres")) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def put_in_place(target: Database, name: str) -> None:
    """Give the database `name` the name of `target`, whose own database is dropped. Raise `DatabaseProblem`.

    Both renamings are one transaction, so there is always a whole database of that name.
    """
    old = f"{name}_replaced"
    with _connected(target.named("postgres")) as connection:
        with connection.transaction():
            for before, after in ((target.name, old), (name, target.name)):
                connection.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after))
                )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))


def clients(target: Database) -> list[str]:
    """Return the names of programs that are connected to the database, besides this process."""
    with _connected(target.named("postgres")) as connection:
        rows = connection.execute(
            "SELECT coalesce(nullif(application_name, ''), usename, '?') || ' (' || pid || ')' FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            [target.name],
        )
        return [name for (name,) in rows]


def check_roles(target: Database) -> None:
    """Raise `DatabaseProblem` unless this login is a superuser and the server has the roles of the product."""
    with _connected(target) as connection:
        _require_superuser(connection)
        row = connection.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [[OWNER, PLATFORM]]
        ).fetchone()
    if row != (2,):
        raise DatabaseProblem("The server lacks Threada's roles. Pipe manage.py database_logins into psql first.")


def _require_superuser(connection: psycopg.Connection[Any]) -> None:
    if connection.info.parameter_status("is_superuser") != "on":
        raise DatabaseProblem(_HOW_TO_RESTORE)


@contextmanager
def _connected(target: Database) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(target.conninfo, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.Error as error:
        raise DatabaseProblem(str(error).strip().partition("\n")[0]) from None


def _program(name: str, connection: psycopg.Connection[Any]) -> Path:
    """Return a pg_dump or pg_restore that is not older than the server.

    The embedded one speaks no TLS, so a connection that uses TLS needs an installed one.
    """
    server = connection.info.server_version // 10_000
    candidates = [] if connection.pgconn.ssl_in_use else [locate().install / "bin" / name]
    candidates += sorted(_PLACES.glob(f"*/bin/{name}"), reverse=True)
    candidates += [Path(found)] if (found := shutil.which(name)) else []
    for path in candidates:
        if path.is_file() and _major(path) >= server:
            return path
    raise DatabaseProblem(
        f"The server is PostgreSQL {server}, and no {name} of this version is installed here. Install "
        f"postgresql-client-{server}."
    )


def _major(program: Path) -> int:
    answer = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"\) (\d+)", answer)
    return int(found[1]) if found else 0


@contextmanager
def _running(command: list[str], target: Database, **pipes: Any) -> Iterator[Any]:
    """Run a program until it ends. Its password is in its environment, not in its arguments."""
    parts = {name: str(value) for name, value in conninfo_to_dict(target.conninfo).items()}
    password = parts.pop("password", None)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THREADA_")}
    environment |= {"PGPASSWORD": password} if password else {}
    place = make_conninfo(**parts)
    command = [*command, "--dbname", place]
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(command, stderr=messages, env=environment, **pipes) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            said = "; ".join(lines[:3]) or f"exit status {process.returncode}"
            raise DatabaseProblem(f"{Path(command[0]).name} failed: {said}")
