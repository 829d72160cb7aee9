"""A sealer on the test database, with its own key and anchor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aics_tlog
import psycopg
from django.conf import settings
from django.db import connection

from telemetry.log.anchor import Anchor, AnchoredCheckpoint
from telemetry.log.key_file import KeyFile, SigningKey
from telemetry.log.signed_tree_heads import SignedTreeHead, sign_tree_head
from telemetry.log.store import LogStore
from telemetry.models import (
    Checkpoint,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceNode,
    LogLeaf,
    Receipt,
    SealQueueEntry,
)
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.receipts.signing import receipt_keyring
from telemetry.sealing.sealer import Sealer
from telemetry.tlog.checkpoint import Checkpoint as LogCheckpoint
from telemetry.tlog.checkpoint import instance_origin
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import SignedNote
from telemetry.tlog.tree import CompactRange
from tests.factories import acting_system
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant

NAME = "log.example.org"


@dataclass
class RecordedLog:
    """Collects the log events of the sealer."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append((level, event, fields))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


@dataclass
class SealingSetup:
    """Files and connections of a sealer below `directory`."""

    directory: Path
    said: RecordedLog = field(default_factory=RecordedLog)

    def __post_init__(self) -> None:
        self.key_file = KeyFile(self.directory / "sealing_key")
        self.anchor = Anchor(self.directory / "checkpoints")
        if not self.key_file.exists():
            self.key_file.create(NAME)

    @contextmanager
    def sealer(self, **options: Any) -> Iterator[Sealer]:
        with own_connection() as own:
            options = {
                "with_instance_log": settings.THREADA_INSTANCE_LOG,
                "receipt_keys": receipt_keyring().public,
                **options,
            }
            yield Sealer(LogStore(own), key_file=self.key_file, anchor=self.anchor, log=self.said, **options)

    def seal(self, **options: Any) -> int:
        """Run rounds until the queue is empty. Return the number of sealed receipts."""
        total = 0
        with self.sealer(**options) as sealer:
            while sealed := sealer.round():
                total += sealed
        return total

    def heartbeat(self) -> None:
        with self.sealer(heartbeat=timedelta(0)) as sealer:
            sealer.round()


def seal_queued(tenant: Tenant) -> int:
    """Append every queued receipt to the log in the test's own transaction, without a sealer.

    Return the number of leaves.
    """
    with platform_role():
        start = LogLeaf.objects.filter(tenant_id=tenant.id).count()
        waiting = SealQueueEntry.objects.filter(tenant_id=tenant.id)
        queued = Receipt.objects.filter(id__in=waiting.values("id")).order_by("id").values_list("id", "body")
        leaves = [
            LogLeaf(id=receipt_id, tenant_id=tenant.id, index=index, hash=leaf_hash(bytes(body)))
            for index, (receipt_id, body) in enumerate(queued, start)
        ]
        LogLeaf.objects.bulk_create(leaves)
        waiting.delete()
    return start + len(leaves)


def sign_in_place(tenant: Tenant) -> None:
    """Seal queued receipts and sign both logs, the tenant's and the instance log, in the test's own transaction.

    For one tenant only: the instance log then contains only the checkpoints of this tenant.
    """
    seal_queued(tenant)
    keys = [SigningKey.new(NAME)]
    with platform_role():
        tree = CompactRange()
        for value in LogLeaf.objects.filter(tenant_id=tenant.id).order_by("index").values_list("hash", flat=True):
            tree.append(bytes(value))
        tree_head = sign_tree_head(tree, origin=origin(tenant), keys=keys, at=clock.now())
        checkpoint = Checkpoint.objects.create(tenant_id=tenant.id, **_columns(tree_head))
        place, leaf = InstanceEntry.objects.count(), leaf_hash(tree_head.note.encode())
        InstanceEntry.objects.create(index=place, log_id=tenant.id, checkpoint_id=checkpoint.id, note=tree_head.note)
        InstanceNode.objects.create(level=0, index=place, hash=leaf)
        over = CompactRange()
        for value in InstanceNode.objects.filter(level=0).order_by("index").values_list("hash", flat=True):
            over.append(bytes(value))
        InstanceCheckpoint.objects.create(
            **_columns(sign_tree_head(over, origin=instance_origin(NAME), keys=keys, at=clock.now()))
        )


def _columns(tree_head: SignedTreeHead) -> dict[str, Any]:
    return {
        "size": tree_head.size, "root": tree_head.root, "note": tree_head.note, "verifier_keys": tree_head.verifier_keys, "signed_at": tree_head.at,
    }  # fmt: skip


def own_connection() -> psycopg.Connection[Any]:
    """Open another connection to the test database with the product's login."""
    own = connection.settings_dict
    return psycopg.connect(
        host=own["HOST"], port=own["PORT"] or None, user=own["USER"], password=own["PASSWORD"] or None,
        dbname=own["NAME"], autocommit=True,
    )  # fmt: skip


def write_receipts(tenant: Tenant, count: int) -> None:
    with unit_of_work(tenant.id):
        for number in range(count):
            record(Entry(kind="thing.done", inputs={"number": number}), ctx=acting_system(tenant))


def seal_out_of_order(tenant: Tenant, sealing: SealingSetup) -> None:
    """Seal two receipts after younger ones: their transaction commits when the younger ones are sealed."""
    recorded, sealed = threading.Event(), threading.Event()

    def write() -> None:
        with unit_of_work(tenant.id):
            for number in range(2):
                record(Entry(kind="thing.done", inputs={"number": number}), ctx=acting_system(tenant))
            recorded.set()
            assert sealed.wait(60)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert recorded.wait(60)
    write_receipts(tenant, 2)
    sealing.seal()
    sealed.set()
    thread.join()
    sealing.seal()
    with unit_of_work(tenant.id):
        places = list(LogLeaf.objects.order_by("index").values_list("id", flat=True))
    assert places != sorted(places)


def origin(tenant: Tenant) -> str:
    return f"{NAME}/{ids.public_id(ids.TENANT, tenant.id)}"


def bodies_in_order(tenant: Tenant) -> list[bytes]:
    """Return the stored bytes of the sealed receipts in log order. The log index must be dense."""
    with unit_of_work(tenant.id):
        places = list(LogLeaf.objects.order_by("index").values_list("index", "id"))
        bodies = dict(Receipt.objects.filter(id__in=[leaf for _, leaf in places]).values_list("id", "body"))
    assert [index for index, _ in places] == list(range(len(places)))
    return [bytes(bodies[leaf]) for _, leaf in places]


def newest(tenant: Tenant) -> Checkpoint:
    with unit_of_work(tenant.id):
        return Checkpoint.objects.latest("id")


def assert_verifies(tenant: Tenant, *, name: str = "") -> Any:
    """Verify the newest checkpoint with an independent implementation, and compare its root with the stored bytes."""
    tree_head = newest(tenant)
    result = aics_tlog.verify_checkpoint(
        aics_tlog.parse_note(tree_head.note),
        aics_tlog.parse_vkey(tree_head.verifier_keys[-1]),
        expected_origin=name or origin(tenant),
    )
    assert result.ok, result.error
    tree = aics_tlog.MerkleTree()
    for body in bodies_in_order(tenant):
        tree.append(body)
    assert (result.size, result.root) == (tree.size, tree.root())
    assert (tree_head.size, bytes(tree_head.root)) == (tree.size, tree.root())
    return result


def anchor_in_place(tenant: Tenant, directory: Path, *lines: str) -> None:
    """Record the newest checkpoint in the anchor, with these lines, as the sealer does right before it inserts it."""
    note = SignedNote.parse(newest(tenant).note)
    signed = LogCheckpoint.parse(note.text)
    kept = AnchoredCheckpoint(signed.origin, signed.size, signed.root, extensions=lines)
    Anchor(directory).append_acknowledgement(
        ids.public_id(ids.TENANT, tenant.id), kept, reason="In a test.", at=clock.now()
    )
