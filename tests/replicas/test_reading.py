"""Lists of the API are read from a replica that has replayed all earlier writes, otherwise from the primary."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.conf import settings as product
from django.db import OperationalError, connection, connections
from pytest_django import Settings

from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.replicas.conftest import ALIAS, known_as
from tests.replicas.server import Replica
from tests.scraping import scrape
from threada_site.database import replica_reads as reading
from threada_site.database import replicas
from threada_site.database.replica_reads import position_now, read
from threada_site.database.router import WriteWhileReadingError, read_connection
from threada_site.database.unit_of_work import NestedTenantError, current_tenant_id, unit_of_work
from threada_site.identity.credentials import revoke_credential
from threada_site.identity.tenants import create_tenant
from threada_site.tenancy.models import Credential, Tenant

pytestmark = pytest.mark.slow


@pytest.fixture
def acme(replica: Replica) -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def client(acme: Tenant) -> Api:
    return Api(make_token(acme, make_principal(acme, "ada", roles=["tenant_admin"])))


def add_channel(client: Api, name: str) -> None:
    answer = client.post("/channels", {"channel_id": name})
    assert answer.status_code == 201, answer.content


def channels(client: Api) -> list[str]:
    answer = client.get("/channels")
    assert answer.status_code == 200, answer.content
    return [row["channel_id"] for row in answer.json()["data"]]


def test_list_is_read_from_the_replica_and_the_credential_from_the_primary(client: Api, asked: Any) -> None:
    add_channel(client, "web")
    with asked() as first:
        assert channels(client) == ["web"]
    with asked() as statements:
        assert channels(client) == ["web"]
    assert len(statements.primary) == 1
    assert statements.primary[0].startswith("SELECT entered.*, pg_current_wal_flush_lsn()::text FROM threada_enter(")
    assert len([sql for sql in statements.replica if 'FROM "policies_channel"' in sql]) == 1
    assert [sql for sql in statements.replica if "policies_channel" not in sql and "pg_lsn" not in sql] == []
    assert any("pg_control_system" in sql for sql in first.replica)  # it was verified once


def test_without_a_replica_no_statement_is_added(client: Api, asked: Any, settings: Settings) -> None:
    settings.THREADA_REPLICAS = []
    with asked() as statements:
        assert channels(client) == []
    assert statements.replica == []
    assert [sql.partition("(")[0].split(" WHERE ")[0][:40] for sql in statements.primary] == [
        "SELECT * FROM threada_enter",
        'SELECT "policies_channel"."id", "policies_channel"."tenant_id"'[:40],
    ]


def test_single_rows_and_writes_use_the_primary(client: Api, asked: Any) -> None:
    with asked() as statements:
        client.get("/me")
        add_channel(client, "web")
    assert statements.replica == []


@pytest.mark.parametrize("wait_ms", [0, 60])
def test_read_after_a_write_sees_it_while_the_replica_is_paused(
    wait_ms: int, client: Api, replica: Replica, asked: Any, settings: Settings
) -> None:
    settings.THREADA_REPLICA_WAIT_MS = wait_ms
    add_channel(client, "web")
    assert channels(client) == ["web"]
    replica.sql("SELECT pg_wal_replay_pause()")
    add_channel(client, "mail")
    with asked() as statements:
        begun = time.monotonic()
        assert channels(client) == ["mail", "web"]
        took = time.monotonic() - begun
    assert wait_ms / 1000 <= took < wait_ms / 1000 + 1
    assert [sql for sql in statements.replica if "policies_channel" in sql] == []
    assert len([sql for sql in statements.primary if "policies_channel" in sql]) == 1
    with asked() as statements:  # and is not used for a second
        assert channels(client) == ["mail", "web"]
    assert statements.replica == []
    settings.THREADA_REPLICA_WAIT_MS = 5000
    replica.sql("SELECT pg_wal_replay_resume()")
    replica.catch_up()
    time.sleep(replicas.BEHIND_BACKOFF_S)
    with asked() as statements:
        assert channels(client) == ["mail", "web"]
    assert len([sql for sql in statements.replica if "policies_channel" in sql]) == 1


def test_every_write_is_seen_by_the_next_read(client: Api, asked: Any) -> None:
    """Write as fast as one client can; reads wait for the replica, mostly for a few milliseconds."""
    with asked() as statements:
        for number in range(20):
            add_channel(client, f"c-{number:02}")
            assert channels(client)[0] == f"c-{number:02}"
    from_replica = len([sql for sql in statements.replica if ' ORDER BY "policies_channel"."id" DESC' in sql])
    from_primary = len([sql for sql in statements.primary if ' ORDER BY "policies_channel"."id" DESC' in sql])
    assert from_replica + from_primary == 20
    assert from_replica >= 15


def test_revoked_credential_is_refused_before_the_replica_has_replayed_it(
    client: Api, acme: Tenant, replica: Replica, asked: Any
) -> None:
    assert channels(client) == []
    replica.sql("SELECT pg_wal_replay_pause()")
    with unit_of_work(acme.id):
        credential = Credential.objects.get(tenant_id=acme.id)
        revoke_credential(credential, ctx=acting_system(acme))
    with asked() as statements:
        answer = client.get("/channels")
    assert (answer.status_code, answer.json()["reason_code"]) == (401, "credential_revoked")
    assert statements.replica == []


def test_tenants_are_isolated_on_the_replica(client: Api, acme: Tenant, replica: Replica, asked: Any) -> None:
    globex = make_tenant("globex")
    other = Api(make_token(globex, make_principal(globex, "gus", roles=["tenant_admin"])))
    add_channel(client, "web")
    add_channel(other, "theirs")
    with asked() as statements:
        assert channels(client) == ["web"]
        assert channels(other) == ["theirs"]
    assert len([sql for sql in statements.replica if 'FROM "policies_channel"' in sql]) == 2

    def every_channel() -> list[str]:
        with read_connection().cursor() as cursor:
            cursor.execute("SELECT slug, pg_is_in_recovery() FROM policies_channel")
            rows = cursor.fetchall()
        assert [recovering for _, recovering in rows] == [True] * len(rows)
        return [slug for slug, _ in rows]

    assert read(acme.id, every_channel, since=position_now()) == ["web"]
    assert read(globex.id, every_channel, since=position_now()) == ["theirs"]
    with connections[ALIAS].cursor() as cursor:  # no tenant remains set on the connection
        cursor.execute("SELECT slug FROM policies_channel")
        assert cursor.fetchall() == []
    assert current_tenant_id() is None


def test_writes_are_refused_in_a_block_that_reads_from_a_replica(acme: Tenant, client: Api) -> None:
    def by_model() -> None:
        Tenant.objects.filter(id=acme.id).update(name="changed")

    def by_sql_on_the_replica() -> None:
        with read_connection().cursor() as cursor:
            cursor.execute("UPDATE tenancy_tenant SET name = 'changed'")

    def by_sql_on_the_primary() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tenancy_tenant SET name = 'changed'")

    def by_service() -> None:
        create_tenant("new", "", ctx=acting_system(acme))

    for write in (by_model, by_sql_on_the_replica, by_sql_on_the_primary):
        with pytest.raises(WriteWhileReadingError):
            read(acme.id, write, since=position_now())
    with pytest.raises((WriteWhileReadingError, NestedTenantError)):
        read(acme.id, by_service, since=position_now())
    assert list(Tenant.objects.values_list("name", flat=True)) == [acme.name]
    assert channels(client) == []


def test_write_is_refused_even_if_the_replica_address_is_a_primary(acme: Tenant) -> None:
    """Cover a promoted replica too: the transaction is read-only on any server."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(reading._ENTER, [str(acme.id), "tenant", "", "0/0"])
        with pytest.raises(Exception, match="read-only transaction"):
            cursor.execute("UPDATE tenancy_tenant SET name = 'changed'")
        cursor.execute("ROLLBACK")


def test_error_of_the_query_itself_is_raised_by_the_primary(acme: Tenant) -> None:
    calls = []

    def wrong() -> None:
        calls.append(read_connection().alias)
        with read_connection().cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    with pytest.raises(Exception, match="division by zero"):
        read(acme.id, wrong, since=position_now())
    assert calls == [ALIAS, "default"]


def test_recovery_conflict_moves_one_read_to_the_primary(acme: Tenant) -> None:
    calls = []

    def cancelled() -> str:
        calls.append(read_connection().alias)
        if len(calls) == 1:
            with read_connection().cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 20")
                cursor.execute("SELECT pg_sleep(5)")
        return "answered"

    assert read(acme.id, cancelled, since=position_now()) == "answered"
    assert read(acme.id, cancelled, since=position_now()) == "answered"
    assert calls == [ALIAS, "default", ALIAS]


def test_refusal_is_the_same_as_without_a_replica(client: Api, asked: Any) -> None:
    with asked() as statements:
        answer = client.get("/work-items", {"cursor": "bad"})
    assert (answer.status_code, answer.json()["reason_code"]) == (400, "invalid_cursor")
    assert [sql for sql in statements.primary if sql.startswith("INSERT") or "WITH r0" in sql] != []  # its receipt


def test_server_that_is_no_replica_is_never_read_from(acme: Tenant, client: Api, settings: Settings) -> None:
    settings.THREADA_REPLICAS = ["self"]
    primary = {"host": connection.settings_dict["HOST"], "port": connection.settings_dict["PORT"]}
    with known_as("self", primary):
        assert replicas.replica_problems() == ["self is not a replica: it is not in recovery"]
        add_channel(client, "web")
        assert channels(client) == ["web"]
        calls: list[str] = []
        read(acme.id, lambda: calls.append(read_connection().alias), since=position_now())
        assert calls == ["default"]


def test_replica_login_that_sees_all_tenants_is_refused(replica: Replica, settings: Settings) -> None:
    superuser = str(replica.sql("SELECT current_user")[0][0])
    connections.settings[ALIAS]["USER"] = superuser
    connections[ALIAS].close()
    del connections[ALIAS]
    problems = replicas.replica_problems()
    assert f"on {ALIAS}, the login is the superuser {superuser}" in problems


def test_unreachable_replica_is_no_problem(client: Api, settings: Settings) -> None:
    settings.THREADA_REPLICAS = ["gone"]
    with known_as("gone", {"host": "/nowhere", "port": 1}):
        assert replicas.replica_problems() == []
        add_channel(client, "web")
        assert channels(client) == ["web"]
        assert [(m.name, m.value) for m in replicas.replica_metrics()] == [("threada_replica_up", 0.0)]
        with pytest.raises(OperationalError):
            connections["gone"].ensure_connection()


def test_reads_alternate_between_two_replicas(client: Api, replica: Replica, settings: Settings, acme: Tenant) -> None:
    with known_as("second", replica.address):
        settings.THREADA_REPLICAS = [ALIAS, "second"]
        calls: list[str] = []
        for _ in range(4):
            read(acme.id, lambda: calls.append(read_connection().alias), since=position_now())
        assert sorted(calls) == [ALIAS, ALIAS, "second", "second"]


def test_metrics_of_the_replica(client: Api, replica: Replica) -> None:
    replica.catch_up()
    text = scrape()
    assert f'threada_replica_up{{replica="{ALIAS}"}} 1.0' in text
    assert f'threada_replica_behind_bytes{{replica="{ALIAS}"}}' in text
    assert product.THREADA_REPLICAS == [ALIAS]
