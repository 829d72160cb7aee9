"""Every kind of file that is written while receipts commit in another order than that of their ids is valid."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from integrations.deliveries.senders.file import file_of
from telemetry.models import LogLeaf
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.tlog.note import VerifierKey
from tests.integrations.conftest import way_out
from tests.integrations.deliveries.delivering import run, to_file
from tests.jobs import run_jobs
from tests.telemetry.sealed import SealingSetup, bodies_in_order, newest, origin
from tests.workitems.office import Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.runtime.backup.archive import Backup
from threada_site.runtime.tenants.archive import checked_export
from threada_site.tenancy.models import Tenant
from workitems.retention.archive import write_parts

__all__ = ["way_out"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

VERIFIERS = (
    settings.THREADA_BASE_DIR / "telemetry" / "verifier" / "threada_verify.py",
    settings.THREADA_BASE_DIR / "integrations/clients/python/src/threada_client/threada_verify.py",
)
_TYPESCRIPT = """
import {{ verifyEvidence }} from {client};
import {{ readFileSync }} from "node:fs";
const found = await verifyEvidence(readFileSync(process.argv[2]), [process.argv[3]], {{ complete: {complete} }});
console.log(JSON.stringify(found));
"""


@contextmanager
def writing(office: Office, seed: int) -> Iterator[None]:
    """Write receipts in parallel transactions of random length until the block ends."""
    is_over = threading.Event()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        chance = random.Random(seed + number)
        try:
            while not is_over.is_set():
                with unit_of_work(office.tenant.id):
                    for place in range(chance.randint(1, 3)):
                        record(Entry(kind="thing.done", inputs={"number": place}), ctx=office.system)
                    time.sleep(chance.random() * 0.05)
        except BaseException as error:  # noqa: BLE001  (raised below)
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert failures == []


def seal_until_out_of_order(office: Office, sealing: SealingSetup) -> None:
    """Seal until at least three receipts have been sealed after younger ones."""
    for _ in range(200):
        sealing.seal()
        with unit_of_work(office.tenant.id):
            places = list(LogLeaf.objects.order_by("index").values_list("id", flat=True))
        if sum(after < before for before, after in pairwise(places)) >= 3:
            return
    raise AssertionError("no receipt was sealed after a younger one")


def check_evidence(archive: Path, key: str, *, complete: bool) -> None:
    """Verify evidence with every verifier. That in TypeScript needs the packages of the lane of clients."""
    for verifier in VERIFIERS:
        words = [sys.executable, str(verifier), "--json", "--key", key, *(["--complete"] if complete else [])]
        done = subprocess.run([*words, str(archive)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    if client := os.environ.get("THREADA_TEST_CLIENTS"):
        found = _typescript(Path(client) / "typescript", archive, key, complete=complete)
        assert found["findings"] == []
        assert found["isVerified"] is True


def _typescript(installed: Path, archive: Path, key: str, *, complete: bool) -> dict[str, Any]:
    folder = archive.parent / "typescript"
    if not folder.exists():
        folder.mkdir()
        sources = settings.THREADA_BASE_DIR / "integrations" / "clients" / "typescript" / "src"
        for file in sources.glob("*.ts"):
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "node_modules").symlink_to(installed / "node_modules")
        (folder / "package.json").write_text('{"type": "module"}')
        compiler = installed / "node_modules" / ".bin" / "tsc"
        options = "--module nodenext --moduleResolution nodenext --target es2022 --strict --skipLibCheck --outDir out"
        subprocess.run([compiler, *options.split(), "evidence.ts"], check=True, cwd=folder)
    program = _TYPESCRIPT.format(client=json.dumps("./out/evidence.js"), complete=json.dumps(complete))
    (folder / "verify.mjs").write_text(program)
    done = subprocess.run(["node", "verify.mjs", archive, key], check=True, cwd=folder, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("way_out")
@pytest.mark.parametrize("seed", range(1, 6 if os.environ.get("THREADA_NIGHTLY") == "1" else 2))
def test_every_file_verifies(
    tenant: Tenant, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office = open_office(tenant)
    sealing = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing.anchor.directory))
    monkeypatch.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "deliveries")
    delivery = to_file(office.tenant, from_beginning=True)
    items = [office.decided() for _ in range(3)]
    with writing(office, seed):
        seal_until_out_of_order(office, sealing)
        made = office.api("ada").post("/telemetry/exports", {}).json()
        call_command("tenant", "export", office.tenant.slug, str(tmp_path / "acme.export"))
        with unit_of_work(office.tenant.id):
            write_parts(tmp_path, "archive-", "remove_case", items, ctx=office.system)
        call_command("backup", str(tmp_path / "acme.backup"))
        while run(delivery):
            pass

    run_jobs(ahead_of_time=True)
    sealing.seal()
    key = newest(tenant).verifier_keys[0]
    answer = office.api("ada").get(f"/telemetry/exports/{made['export_id']}/evidence")
    assert answer.status_code == 200, answer.content
    (tmp_path / "evidence.zip").write_bytes(b"".join(answer.streaming_content))
    check_evidence(tmp_path / "evidence.zip", key, complete=False)
    check_evidence(tmp_path / "archive-evidence.zip", key, complete=False)
    with zipfile.ZipFile(tmp_path / "acme.export") as export:
        (tmp_path / "tenant-evidence.zip").write_bytes(export.read("evidence.zip"))
    check_evidence(tmp_path / "tenant-evidence.zip", key, complete=True)
    with Backup(tmp_path / "acme.export") as export_file:
        given = [VerifierKey.parse(key)]
        checked = checked_export(export_file, given=given, watch=lambda _name, _size: None)
        assert checked.tenant_id == office.tenant.id
    capsys.readouterr()
    call_command("restore", str(tmp_path / "acme.backup"), "--verify")
    assert "can be restored" in capsys.readouterr().out

    sealing.seal()
    while run(delivery):
        pass
    sealed = bodies_in_order(office.tenant)
    events = [json.loads(line) for line in file_of(delivery).read_bytes().splitlines()]
    delivered = [canonical_bytes(event["data"]) for event in events]
    assert delivered == sealed[: len(delivered)]
    (tmp_path / "log.ndjson").write_bytes(b"".join(line + b"\n" for line in sealed))
    (tmp_path / "checkpoint.txt").write_text(newest(office.tenant).note)
    for verifier in VERIFIERS:
        words = [sys.executable, str(verifier), "--key", key, str(tmp_path / "log.ndjson"), "--checkpoint"]
        done = subprocess.run([*words, str(tmp_path / "checkpoint.txt")], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert key.startswith(origin(office.tenant))
