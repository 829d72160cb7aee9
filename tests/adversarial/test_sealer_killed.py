"""The sealer is killed 200 times while receipts arrive, and a transaction keeps its receipt open for half a minute.

The log has no gap and no duplicate, contains every receipt, and every signed checkpoint is consistent with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aics_tlog
import pytest
from django.conf import settings
from django.db import connection

from telemetry.log.key_file import KeyFile
from telemetry.models import (
    Checkpoint,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceQueueEntry,
    LogLeaf,
    Receipt,
    SealQueueEntry,
)
from telemetry.tlog.checkpoint import INSTANCE
from telemetry.tlog.checkpoint import Checkpoint as TreeHead
from telemetry.tlog.note import SignedNote
from telemetry.tlog.tree import CompactRange
from tests.factories import make_tenant
from tests.journeys.worker import database_url
from tests.telemetry.sealed import NAME, bodies_in_order, write_receipts
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

KILLS = int(os.environ.get("THREADA_TEST_KILLS", "200"))
HELD_S = float(os.environ.get("THREADA_TEST_HELD_SECONDS", "30"))
PAUSE_S = 0.004

pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    KeyFile(tmp_path / "sealing_key").create(NAME)
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "THREADA_SEALING_KEY_FILE": str(tmp_path / "sealing_key"),
        "THREADA_ANCHOR_DIR": str(tmp_path / "checkpoints"),
        "THREADA_CHECKPOINT_TARGETS": "",
        "THREADA_INSTANCE_LOG": "true",
    }


@contextmanager
def load_on(*tenants: Tenant) -> Iterator[None]:
    """Run one writer per tenant until the end."""
    stop = threading.Event()

    def write(tenant: Tenant) -> None:
        while not stop.wait(PAUSE_S):
            write_receipts(tenant, 2)
        connection.close()

    writers = [threading.Thread(target=write, args=[tenant]) for tenant in tenants]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)


def drain(environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "sealer", "--once"],
        cwd=settings.THREADA_BASE_DIR, env=environment, check=True, timeout=120,
    )  # fmt: skip


def assert_log_is_complete(tenant: Tenant, kept: Path) -> tuple[int, int]:
    """Assert that the log contains every receipt once and is consistent with every signed checkpoint. Return both
    counts."""
    bodies = bodies_in_order(tenant)
    with unit_of_work(tenant.id):
        assert SealQueueEntry.objects.count() == 0
        assert set(LogLeaf.objects.values_list("id", flat=True)) == set(Receipt.objects.values_list("id", flat=True))
        assert len(bodies) == Receipt.objects.count()
        tree_heads = list(Checkpoint.objects.order_by("id"))
    tree = CompactRange()
    roots = {0: tree.root()}
    for body in bodies:
        tree.append(aics_tlog.leaf_hash(body))
        roots[tree.size] = tree.root()
    assert tree.root() == aics_tlog.MerkleTree(bodies).root()
    assert (tree_heads[-1].size, bytes(tree_heads[-1].root)) == (tree.size, tree.root())
    for tree_head in tree_heads:
        assert bytes(tree_head.root) == roots[tree_head.size]
    key = aics_tlog.parse_vkey(tree_heads[-1].verifier_keys[0])
    signed = [
        json.loads(line)["note"]
        for file in sorted((kept / ids.public_id(ids.TENANT, tenant.id)).glob("*.ndjson"))
        for line in file.read_text().splitlines()
    ]
    sizes = []
    for note in signed:
        checked = aics_tlog.verify_checkpoint(aics_tlog.parse_note(note), key)
        assert checked.ok, checked.error
        tree_head_of_note = TreeHead.parse(SignedNote.parse(note).text)
        assert tree_head_of_note.root == roots[tree_head_of_note.size]
        sizes.append(tree_head_of_note.size)
    assert sizes == sorted(sizes)
    assert {tree_head.note for tree_head in tree_heads} <= set(signed)
    return len(bodies), len(signed)


def assert_instance_log_is_consistent(kept: Path, *tenants: Tenant) -> int:
    """Assert that each new checkpoint of a tenant is a leaf once, and that the log's own checkpoints are consistent.
    Return the number of leaves."""
    with platform_role():
        assert InstanceQueueEntry.objects.count() == 0
        entries = list(InstanceEntry.objects.order_by("index"))
        named = {entry.checkpoint_id: entry.note for entry in entries}
        for tenant in tenants:
            tree_heads = Checkpoint.objects.filter(tenant=tenant).order_by("id")
            grown = [tree_head for tree_head in tree_heads if tree_head.id in named]
            assert [tree_head.note for tree_head in grown] == [named[tree_head.id] for tree_head in grown]
            assert {tree_head.size for tree_head in grown} == set(tree_heads.values_list("size", flat=True))
    assert [entry.index for entry in entries] == list(range(len(entries))) == list(range(len(named)))
    tree = aics_tlog.MerkleTree([entry.note.encode() for entry in entries])
    tree_heads_of_log = list(InstanceCheckpoint.objects.order_by("id"))
    assert tree_heads_of_log[-1].size == len(entries)
    notes = {tree_head.note for tree_head in tree_heads_of_log}
    lines = [line for file in sorted((kept / INSTANCE).glob("*.ndjson")) for line in file.read_text().splitlines()]
    assert notes <= {json.loads(line)["note"] for line in lines}
    sizes = []
    for line in lines:
        tree_head = TreeHead.parse(SignedNote.parse(json.loads(line)["note"]).text)
        assert tree_head.root == tree.root(tree_head.size)
        sizes.append(tree_head.size)
    assert sizes == sorted(sizes)
    return len(entries)


def test_log_of_a_killed_sealer_has_no_gap_and_no_duplicate(
    tenant: Tenant, environment: dict[str, str], tmp_path: Path
) -> None:
    other = make_tenant("globex")
    with load_on(tenant, other):
        subprocess.run(
            [sys.executable, "-m", "tests.adversarial.forked.sealer", str(KILLS)],
            cwd=settings.THREADA_BASE_DIR, env=environment, check=True, timeout=KILLS * 5 + 60,
        )  # fmt: skip
    drain(environment)
    for each in (tenant, other):
        receipts, tree_heads = assert_log_is_complete(each, tmp_path / "checkpoints")
        assert receipts > KILLS
        assert tree_heads > 2
        print(f"{each.slug}: {receipts} receipts, {tree_heads} heads signed, {KILLS} kills")
    print(f"instance: {assert_instance_log_is_consistent(tmp_path / 'checkpoints', tenant, other)} leaves")


def test_receipt_of_a_long_transaction_is_sealed_afterwards(
    tenant: Tenant, environment: dict[str, str], tmp_path: Path
) -> None:
    sealer = subprocess.Popen(
        [sys.executable, "manage.py", "sealer", "--interval", "0.2"], cwd=settings.THREADA_BASE_DIR, env=environment
    )
    written, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with unit_of_work(tenant.id):
            write_receipts(tenant, 1)
            written.set()
            assert may_commit.wait(HELD_S * 10)
        connection.close()

    def sealed() -> int:
        with unit_of_work(tenant.id):
            return LogLeaf.objects.count()

    holder = threading.Thread(target=hold)
    try:
        holder.start()
        assert written.wait(60)
        began = time.monotonic()
        write_receipts(tenant, 1000)
        while sealed() < 1000 or time.monotonic() - began < HELD_S:
            assert time.monotonic() - began < HELD_S + 60
            time.sleep(0.2)
        before = sealed()
        may_commit.set()
        holder.join(60)
        while sealed() == before:
            assert time.monotonic() - began < HELD_S + 120
            time.sleep(0.1)
    finally:
        may_commit.set()
        sealer.terminate()
        assert sealer.wait(30) == 0
    drain(environment)
    assert_log_is_complete(tenant, tmp_path / "checkpoints")
    with unit_of_work(tenant.id):
        assert LogLeaf.objects.latest("index").id < max(LogLeaf.objects.values_list("id", flat=True))
