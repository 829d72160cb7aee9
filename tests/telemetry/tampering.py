"""A sealed log, SQL to tamper with it, and the command that detects the tampering."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, transaction

from telemetry.models import LogLeaf
from tests.telemetry.sealed import SealingSetup, write_receipts
from threada_site.database.roles import OWNER
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

TABLES = (
    "telemetry_receipt", "telemetry_logleaf", "telemetry_lognode", "telemetry_checkpoint", "telemetry_sealqueueentry",
    "telemetry_instancenode", "telemetry_instanceentry", "telemetry_instancecheckpoint",
)  # fmt: skip


@dataclass
class Verified:
    """Output of one run of the command."""

    code: int
    lines: list[str]
    err: str


type Verify = Callable[..., Verified]


def by_sql(*statements: str) -> None:
    """Execute SQL as a superuser, without triggers and row-level security."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"SET ROLE {OWNER}")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("RESET ROLE")


@dataclass
class SealedLog:
    """A log of slightly more than one stored node, with three checkpoints; its receipts by log index."""

    tenant: Tenant
    sealing_setup: SealingSetup
    ids: list[uuid.UUID]

    @classmethod
    def made(cls, tenant: Tenant, sealing_setup: SealingSetup) -> SealedLog:
        sealing_setup.seal(with_instance_log=True)
        for count in (100, 200):
            write_receipts(tenant, count)
            sealing_setup.seal(with_instance_log=True)
        with unit_of_work(tenant.id):
            return cls(tenant, sealing_setup, list(LogLeaf.objects.order_by("index").values_list("id", flat=True)))

    @property
    def size(self) -> int:
        return len(self.ids)

    def where(self, sequence: int, table: str = "") -> str:
        column = f"{table}.id" if table else "id"
        return f"{column} = '{self.ids[sequence]}'"

    def named(self, sequence: int) -> str:
        return ids.public_id(ids.RECEIPT, self.ids[sequence])


def found(verify: Verify, *arguments: str) -> list[str]:
    """Return the lines before the verdict. There must be at least one."""
    said = verify("--tenant", "acme", *arguments)
    assert said.code == 1
    assert said.lines[-1].endswith(f": {len(said.lines) - 1} found")
    assert said.err == f"{len(said.lines) - 1} found.\n"
    return said.lines[:-1]


def back_to(size: int) -> list[str]:
    """Restore the whole database to the time when the tenant had `size` sealed receipts, as from a dump."""
    cut = f"(SELECT min(index) FROM telemetry_instanceentry WHERE split_part(note, chr(10), 2)::bigint > {size})"
    return [
        f'DELETE FROM telemetry_instancenode WHERE ("index" + 1) << level > {cut}',
        f"DELETE FROM telemetry_instancecheckpoint WHERE size > {cut}",
        f"DELETE FROM telemetry_instanceentry WHERE index >= {cut}",
        *tenant_back_to(size),
    ]


def tenant_back_to(size: int) -> list[str]:
    """Restore only the tenant's log to that time; the instance log stays."""
    later = f'SELECT id FROM telemetry_logleaf WHERE "index" >= {size}'
    return [
        f"DELETE FROM telemetry_receipt WHERE id IN ({later})",
        f"DELETE FROM telemetry_checkpoint WHERE size > {size}",
        f'DELETE FROM telemetry_lognode WHERE ("index" + 1) << level > {size}',
        f'DELETE FROM telemetry_logleaf WHERE "index" >= {size}',
    ]


def drop_tenant(tenant: Tenant) -> None:
    """Delete the tenant and all of its rows in one transaction, as a superuser."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_name) "
            "WHERE column_name = 'tenant_id' AND columns.table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute(f"SET ROLE {OWNER}")
        for verb in ("DISABLE", "ENABLE"):
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} {verb} TRIGGER USER")
            if verb == "DISABLE":
                with transaction.atomic():
                    for table in tables:
                        cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", [tenant.id])
                    cursor.execute("DELETE FROM tenancy_tenant WHERE id = %s", [tenant.id])
        cursor.execute("RESET ROLE")
