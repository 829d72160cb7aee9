from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as product
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from tests.replicas.server import Replica
from threada_site.database import replicas

ALIAS = "replica_1"


@pytest.fixture(scope="session")
def replica_server(django_db_setup: None) -> Iterator[Replica]:
    """One replica for all tests of the session; it follows the primary when a test starts."""
    if product.DATABASE_URL:
        pytest.skip("DATABASE_URL names a server that cannot be copied here")
    server = Replica(product.THREADA_DATA_DIR, dbname=str(connection.settings_dict["NAME"]))
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def replica(
    replica_server: Replica, transactional_db: None, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Replica]:
    """Read from the replica, as with THREADA_REPLICA_DATABASE_URL set."""
    # A test may use the databases that existed when it started; this one is added.
    with django_db_blocker.unblock(), known_as(ALIAS, replica_server.address):
        settings.THREADA_REPLICAS = [ALIAS]
        settings.THREADA_REPLICA_WAIT_MS = 5000  # other tests write to the same primary meanwhile
        replica_server.catch_up()
        yield replica_server
        replica_server.sql("SELECT pg_wal_replay_resume()")


@contextmanager
def known_as(alias: str, address: dict[str, Any]) -> Iterator[None]:
    """Add a database to Django's settings, with the names of the primary."""
    primary = connection.settings_dict
    names = {name: primary[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD")}
    described = {**names, "HOST": address["host"], "PORT": str(address["port"]), "CONN_MAX_AGE": 60}
    complete = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: described})
    connections.settings[alias] = complete[alias]
    replicas.forget_replicas()
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
        replicas.forget_replicas()


class Asked:
    """The statements of a block for each server, without those that begin and end transactions."""

    def __init__(self) -> None:
        self.primary: list[str] = []
        self.replica: list[str] = []


@pytest.fixture
def asked() -> Any:
    """Record statements: `with asked() as statements: …`."""

    @contextmanager
    def watching(alias: str = ALIAS) -> Iterator[Asked]:
        found = Asked()
        with CaptureQueriesContext(connection) as primary, CaptureQueriesContext(connections[alias]) as replica:
            yield found
        found.primary = _own(primary)
        found.replica = _own(replica)

    return watching


def _own(captured: CaptureQueriesContext) -> list[str]:
    return [q["sql"] for q in captured.captured_queries if q["sql"] not in ("BEGIN", "COMMIT", "ROLLBACK")]
