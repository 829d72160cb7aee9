"""Dump and restore of the database in backups: every row, every month and every constraint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql

from tests.by_month import add_past_months, id_in_month, renew
from tests.factories import make_tenant
from tests.threada_site.tenancy.rows import RowMaker
from threada_site import postgres
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.backup.archive import Backup
from threada_site.runtime.backup.create import DUMP, RECORDS, create_backup
from threada_site.runtime.backup.database import database, restored, snapshot_of
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import Tenant

TABLE = "telemetry_receipt"
RESTORED = "threada_restored"

_SHAPE = """
SELECT 'table', c.relname, c.relkind::text, pg_get_expr(c.relpartbound, c.oid), c.relrowsecurity, c.relforcerowsecurity,
       coalesce(c.relacl, acldefault('r', c.relowner))::text
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I')
UNION ALL
SELECT 'constraint', r.conrelid::regclass::text, r.conname, pg_get_constraintdef(r.oid), r.convalidated, NULL, NULL
  FROM pg_constraint r WHERE r.connamespace = 'public'::regnamespace AND r.conrelid <> 0 AND (r.contype <> 'f' OR r.conparentid = 0)
UNION ALL
SELECT 'trigger', t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled = 'O', NULL, NULL
  FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy', p.polrelid::regclass::text, p.polname, pg_get_expr(p.polqual, p.polrelid), NULL, NULL, NULL
  FROM pg_policy p
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def filled() -> Iterator[None]:
    """Create a row in every tenant table, and a receipt of a past month."""
    add_past_months(TABLE, 3)
    tenant = make_tenant()
    rows = {model._meta.db_table: row for model, row in RowMaker(tenant).one_of_each().items()}
    answered: Any = rows["api_idempotencyrecord"]
    old = id_in_month(2)
    with unit_of_work(tenant.id):
        row: Any = rows[TABLE]
        row.id = old
        row.save(force_insert=True)
        answered.response = b""  # answers are not in backups
        answered.save()
    yield
    renew(TABLE)


def url(name: str) -> str:
    cluster = postgres.status(settings.THREADA_DATA_DIR)
    assert cluster is not None
    return cluster.url(user=cluster.superuser, dbname=name)


def contents(name: str) -> dict[str, list[str]]:
    with psycopg.connect(url(name)) as connected:
        return {
            table: [
                row
                for (row,) in connected.execute(
                    sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
                )
            ]
            for table in sorted(model._meta.db_table for model in tenant_models())
        }


def shape(name: str) -> list[list[str]]:
    """Return constraints, triggers and policies of the tables, normalized, because PostgreSQL prints parsed SQL
    differently."""
    with psycopg.connect(url(name)) as connected:
        found = connected.execute(_SHAPE).fetchall()
    return [[re.sub(r"::(text|character varying)(\[\])?|[() ]", "", str(part)) for part in row] for row in found]


@pytest.mark.django_db(transaction=True)
def test_restored_dump_equals_the_original(filled: None) -> None:
    name = connection.settings_dict["NAME"]
    before, guarded = contents(name), shape(name)
    assert all(rows for rows in before.values())
    with snapshot_of(database()) as snapshot:
        records = list(snapshot.idempotency_records())
        with restored(database(), RESTORED, snapshot.dump(), records=records):
            assert contents(RESTORED) == before
            assert shape(RESTORED) == guarded
    with psycopg.connect(url("postgres")) as server:
        assert server.execute("SELECT FROM pg_database WHERE datname = %s", [RESTORED]).fetchone() is None


@pytest.mark.django_db(transaction=True)
def test_a_backup_contains_idempotency_records_without_answers(tenant: Tenant, tmp_path: Path) -> None:
    path, answer = tmp_path / "one.backup", b"\x01 the ciphertext \\ of an answer"
    kept = {"path": "/work-items", "key": "before", "body_sha256": "5" * 64, "status": 201}
    times = {"principal_id": tenant.id, "expires_at": datetime(2030, 1, 31, tzinfo=UTC)}
    with unit_of_work(tenant.id):
        IdempotencyRecord.objects.create(tenant=tenant, response=answer, headers={"Location": "/a"}, **kept, **times)
    create_backup(path, recovery_key="", watch=lambda _name, _size: None)
    with Backup(path) as backup:
        records, dump = b"".join(backup.blocks(RECORDS)), backup.blocks(DUMP)
        assert b"before" in records
        assert answer.hex().encode() not in records
        # If the dump contained the row too, the unique constraint would refuse the second one.
        with restored(database(), RESTORED, dump, records=[records]), psycopg.connect(url(RESTORED)) as new:
            columns = ", ".join((*kept, *times, "headers", "response"))
            rows = new.execute(f"SELECT {columns} FROM api_idempotencyrecord").fetchall()
    assert rows == [(*kept.values(), *times.values(), {"Location": "/a"}, b"")]


@pytest.mark.django_db(transaction=True)
def test_a_record_written_during_a_backup_is_not_in_it(tenant: Tenant) -> None:
    """The dump does not contain its work either, so a repetition after a restore does the work."""
    with snapshot_of(database()) as snapshot:
        assert list(snapshot.idempotency_records()) == []
        with unit_of_work(tenant.id):
            IdempotencyRecord.objects.create(
                tenant=tenant, principal_id=tenant.id, path="/", key="k", body_sha256="", status=201,
                response=b"", expires_at=datetime(2030, 1, 31, tzinfo=UTC),
            )  # fmt: skip
            Tenant.objects.filter(id=tenant.id).update(name="Renamed")
        with restored(database(), RESTORED, snapshot.dump()), psycopg.connect(url(RESTORED)) as new:
            assert new.execute("SELECT name FROM tenancy_tenant").fetchall() == [(tenant.name,)]
        assert list(snapshot.idempotency_records()) == []
