"""Exports are read from the replica with the same bytes, even if the replica is lost meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as product
from pytest_django import Settings

from telemetry.exports import bodies as receipt_bodies
from telemetry.exports import job as export_job
from telemetry.exports import request as exports
from telemetry.exports.job import make_export
from telemetry.models import TelemetryExport
from tests.factories import acting_system, make_tenant
from tests.replicas.conftest import ALIAS
from tests.replicas.server import Replica
from tests.telemetry.exports.test_request import AWKWARD, record_all, settle_clock
from threada_site.database.router import read_connection
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.slow


@pytest.fixture
def acme(replica: Replica, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tenant:
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", -1)
    monkeypatch.setattr(export_job, "REPLICA_PATIENCE_S", 0.3)
    monkeypatch.setattr(product, "THREADA_EXPORT_DIR", tmp_path / "exports")
    tenant = make_tenant("acme")
    record_all(tenant, AWKWARD * 20)
    other = make_tenant("globex")
    record_all(other, ["theirs"])
    settle_clock()
    return tenant


def requested(tenant: Tenant) -> TelemetryExport:
    with unit_of_work(tenant.id):
        return exports.create_export({"kind": "thing.noted"}, ctx=acting_system(tenant))


def made(export: TelemetryExport) -> tuple[str, int, bytes]:
    make_export(export.id, ctx=acting_system(Tenant.objects.get(id=export.tenant_id)))
    with unit_of_work(export.tenant_id):
        again = TelemetryExport.objects.get(id=export.id)
    return again.status, again.rows, exports.path_of(again).read_bytes()


def on_primary(tenant: Tenant, settings: Settings) -> tuple[str, int, bytes]:
    settings.THREADA_REPLICAS = []
    return made(requested(tenant))


def test_export_has_the_same_bytes_as_from_the_primary(acme: Tenant, asked: Any, settings: Settings) -> None:
    export = requested(acme)
    with asked() as statements:
        from_replica = made(export)
    assert [sql for sql in statements.replica if "pg_lsn" in sql] != []
    assert from_replica[:2] == ("ready", 100)
    assert from_replica == on_primary(acme, settings)
    assert b"theirs" not in from_replica[2]


def test_export_is_complete_when_the_replica_is_lost(
    acme: Tenant, replica: Replica, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from = []
    read_bodies = receipt_bodies.bodies_of

    def losing(rows: Any) -> Iterator[Any]:
        read_from.append(read_connection().alias)
        for batch in read_bodies(rows):
            yield batch
            if len(read_from) == 1:
                replica.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")

    record_all(acme, ["x" * 100_000] * 40)  # more than the buffers can contain
    settle_clock()
    monkeypatch.setattr(export_job, "bodies_of", losing)
    made_again = made(requested(acme))
    assert read_from == [ALIAS, "default"]
    assert made_again[:2] == ("ready", 140)
    monkeypatch.setattr(export_job, "bodies_of", read_bodies)
    assert made_again == on_primary(acme, settings)


def test_export_does_not_wait_for_a_paused_replica(
    acme: Tenant, replica: Replica, asked: Any, settings: Settings
) -> None:
    replica.sql("SELECT pg_wal_replay_pause()")
    record_all(acme, ["late"])
    settle_clock()
    export = requested(acme)
    with asked() as statements:
        status, rows, content = made(export)
    assert (status, rows, content.count(b'"late"')) == ("ready", 101, 1)
    assert [sql for sql in statements.replica if "COPY" in sql] == []
