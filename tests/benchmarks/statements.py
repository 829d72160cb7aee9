"""SQL statements per create, counted in PostgreSQL's log: BEGIN and COMMIT included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import World
from threada_site import postgres
from threada_site.database.role_names import APP, PLATFORM_LOGIN

AIM = 7
REQUESTS = 20
_LOGGED = re.compile(r"threada_(?:app|platform_login)@threada LOG: +(?:statement|execute [^:]*): (.*)")


def measure(world: World) -> Iterator[Figure]:
    """Count after a warm-up, with and without an Idempotency-Key."""
    with _every_statement_logged(world), web_server(PRODUCT, port=world.port, processes=1):
        connection = Connection(world.port)
        for name, keyed in (("SQL statements per create", False), ("… with an Idempotency-Key", True)):
            _create(world, connection, keyed=keyed, run="warm")
            before = _log_size(world)
            _create(world, connection, keyed=keyed, run="measured")
            statements = _logged(world, before)
            count = len(statements) / REQUESTS
            yield Figure(
                name=name,
                value=f"{count:g}",
                aim=f"<= {AIM}",
                is_met=count <= AIM,
            )
            for statement in statements[: round(count)]:
                print(f"    {statement[:110]}")


def _create(world: World, connection: Connection, *, keyed: bool, run: str) -> None:
    for number in range(REQUESTS):
        headers = world.headers | ({"Idempotency-Key": f"{run}-{number}-{_log_size(world)}"} if keyed else {})
        status, body = connection.exchange(request_bytes("POST", "/work-items", headers, world.body))
        assert status == 201, body


@contextmanager
def _every_statement_logged(world: World) -> Iterator[None]:
    """Log all statements of sessions that begin inside the block."""
    with psycopg.connect(**world.superuser(), autocommit=True) as superuser:
        for login in (APP, PLATFORM_LOGIN):
            superuser.execute(f"ALTER ROLE {login} SET log_statement = 'all'")
        try:
            yield
        finally:
            for login in (APP, PLATFORM_LOGIN):
                superuser.execute(f"ALTER ROLE {login} RESET log_statement")


def _log_files(world: World) -> list[str]:
    data_dir = postgres.ensure_running(world.data_dir).data_dir
    return [file.read_text(errors="replace") for file in sorted((data_dir / "log").glob("server-*"))]


def _log_size(world: World) -> int:
    return sum(map(len, _log_files(world)))


def _logged(world: World, before: int) -> list[str]:
    return _LOGGED.findall("".join(_log_files(world))[before:])
