"""Receipts on a full disk: every change is refused, leaves nothing behind, and nothing is sent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.telemetry.receipts.test_audit_unavailable import ANSWERED_WITHIN_S, state
from tests.workitems.office import Office, open_office
from threada_site import postgres
from threada_site.tenancy.models import Tenant

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.django_db(transaction=True)]

SIZE = "3m"
MOST_CALLS = 200
LEDGER = (f"telemetry_receipt_{datetime.now(UTC):%Y_%m}", "telemetry_sealqueueentry")


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)


@pytest.fixture
def small_disk(db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Move the tables of the ledger to a file system of 3 MB."""
    if os.geteuid() != 0 or settings.DATABASE_URL:
        pytest.skip("takes root, to mount a file system, and the embedded PostgreSQL")
    cluster = postgres.ensure_running(settings.THREADA_DATA_DIR)
    folder = Path("/tmp") / f"threada-disk-{os.getpid()}"
    folder.mkdir(mode=0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    place = folder / "space"
    place.mkdir(mode=0o700)
    os.chown(place, psutil.Process(cluster.pid).uids().effective, psutil.Process(cluster.pid).gids().effective)
    name = connection.settings_dict["NAME"]
    address = dict(cluster.conninfo(user=cluster.superuser, dbname=name))
    try:
        with psycopg.connect(**address, autocommit=True) as superuser:
            superuser.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            for table in LEDGER:
                superuser.execute(f"VACUUM FULL {table}")  # rows rolled back by other tests take disk space
                superuser.execute(f"ALTER TABLE {table} SET TABLESPACE small")
        yield folder
    finally:
        (folder / "filler").unlink(missing_ok=True)
        with psycopg.connect(**address, autocommit=True) as superuser:
            for table in LEDGER:
                superuser.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
            superuser.execute("CHECKPOINT")
            superuser.execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        folder.rmdir()


def fill(folder: Path) -> None:
    """Use up all remaining space."""
    with (folder / "filler").open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 4096)
                file.flush()
        except OSError:
            pass


def test_change_is_refused_when_the_tablespace_is_full(office: Office, small_disk: Path) -> None:
    rita = office.api("rita")
    body = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 1}}
    assert rita.post("/work-items", body).status_code == 201
    fill(small_disk)
    for _ in range(MOST_CALLS):  # pages with free space accept a few more rows
        answer = rita.post("/work-items", body)
        if answer.status_code != 201:
            break
    before = state(office)
    quickest = float("inf")
    for _ in range(3):
        begun = time.monotonic()
        answer = rita.post("/work-items", body)
        quickest = min(quickest, time.monotonic() - begun)
        assert (answer.status_code, answer.json()["reason_code"]) == (503, "audit_unavailable")
    assert quickest < ANSWERED_WITHIN_S
    assert state(office) == before
    (small_disk / "filler").unlink()
    assert rita.post("/work-items", body).status_code == 201
