"""A sealed log to tamper with, the means to do so, and the command that finds it out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

from telemetry.models import LogLeaf
from tests.telemetry.sealed import SealingRoom, write_receipts
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.roles import OWNER
from threada_site.tenancy.unit_of_work import unit_of_work

TABLES = (
    "telemetry_receipt", "telemetry_logleaf", "telemetry_lognode", "telemetry_checkpoint", "telemetry_sealqueueentry",
)  # fmt: skip


@dataclass
class Verified:
    """What one run of the command said."""

    code: int
    lines: list[str]
    err: str


type Verify = Callable[..., Verified]


def by_sql(*statements: str) -> None:
    """As whoever may do everything in the database: no trigger and no policy stands in the way."""
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
class Sealed:
    """A log of a little more than one kept node, with three checkpoints; its receipts by place."""

    tenant: Tenant
    room: SealingRoom
    ids: list[uuid.UUID]

    @classmethod
    def made(cls, tenant: Tenant, room: SealingRoom) -> Sealed:
        room.seal()
        for count in (100, 200):
            write_receipts(tenant, count)
            room.seal()
        with unit_of_work(tenant.id):
            return cls(tenant, room, list(LogLeaf.objects.order_by("index").values_list("id", flat=True)))

    @property
    def size(self) -> int:
        return len(self.ids)

    def where(self, sequence: int, table: str = "") -> str:
        column = f"{table}.id" if table else "id"
        return f"{column} = '{self.ids[sequence]}'"

    def named(self, sequence: int) -> str:
        return ids.public_id(ids.RECEIPT, self.ids[sequence])


def found(verify: Verify, *arguments: str) -> list[str]:
    """The lines before the verdict; there must be something."""
    said = verify("--tenant", "acme", *arguments)
    assert said.code == 1
    assert said.lines[-1].endswith(f": {len(said.lines) - 1} found")
    assert said.err == f"{len(said.lines) - 1} found.\n"
    return said.lines[:-1]


def back_to(sealed: Sealed, size: int) -> list[str]:
    """The state of the database when `size` receipts had been sealed."""
    later = f'SELECT id FROM telemetry_logleaf WHERE "index" >= {size}'
    return [
        f"DELETE FROM telemetry_receipt WHERE id IN ({later})",
        f"DELETE FROM telemetry_checkpoint WHERE size > {size}",
        f'DELETE FROM telemetry_lognode WHERE ("index" + 1) << level > {size}',
        f'DELETE FROM telemetry_logleaf WHERE "index" >= {size}',
    ]
