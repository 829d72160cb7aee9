"""Evidence of an export: a download is verified offline, and any change is detected."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from telemetry.exports import evidence as service
from telemetry.models import QuarantinedReceipt, Receipt, SealQueueEntry
from telemetry.receipts.signature import ROLE_OF
from tests.console.sign_in import sign_in
from tests.jobs import run_jobs
from tests.telemetry.sealed import SealingSetup, write_receipts
from tests.telemetry.tampering import by_sql
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import sha256_hex

pytestmark = pytest.mark.django_db(transaction=True)

VERIFIER = Path(__file__).resolve().parents[3] / "telemetry" / "verifier" / "threada_verify.py"


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path / "sealing")


def verified(archive: Path, key: str, *before: str, options: Sequence[str] = ()) -> tuple[int, dict[str, Any]]:
    """Run the downloaded verifier in a separate process. Return exit status and report."""
    done = subprocess.run(
        [*before, sys.executable, str(VERIFIER), "--json", "--key", key, *options, str(archive)],
        capture_output=True, text=True, check=False, cwd=archive.parent, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {"said": done.stderr}


def download_evidence(office: Office, sealing_setup: SealingSetup, folder: Path, **export: Any) -> tuple[Path, str]:
    """Download the evidence of an export. Return it with the key for its verification."""
    api = office.api("ada")
    made = api.post("/telemetry/exports", export).json()
    sealing_setup.seal()
    answer = api.get(f"/telemetry/exports/{made['export_id']}/evidence")
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"] == "application/zip"
    archive = folder / "evidence.zip"
    archive.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    [checkpoint] = api.get("/checkpoints", {"limit": 1}).json()["data"]
    return archive, checkpoint["verifier_keys"][0]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_export_verifies_anywhere(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, compression: str
) -> None:
    office.create(5)
    write_receipts(office.tenant, 700)
    archive, key = download_evidence(office, sealing_setup, tmp_path, compression=compression)
    code, report = verified(archive, key)
    assert (code, report["findings"]) == (0, []), report
    with zipfile.ZipFile(archive) as opened:
        top = opened.namelist()[0].partition("/")[0]
        positions = opened.read(f"{top}/positions.txt").decode().split()
        lines = opened.read(f"{top}/receipts.ndjson").splitlines()
    assert positions == [str(place) for place in range(len(lines))]
    assert report["receipts"] == len(lines) > 700


def test_evidence_tells_who_wrote_each_receipt(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    office.create(5)
    run_jobs()
    write_receipts(office.tenant, 3)
    archive, key = download_evidence(office, sealing_setup, tmp_path)
    code, report = verified(archive, key, options=["--signed"])
    assert (code, report["findings"]) == (0, []), report
    with zipfile.ZipFile(archive) as opened:
        [name] = [name for name in opened.namelist() if name.endswith("/receipts.ndjson")]
        actors = [json.loads(line)["actor"] for line in opened.read(name).splitlines()]
    roles = Counter(ROLE_OF[actor["entry_point"]] for actor in actors)
    assert report["written_by"] == dict(roles)
    assert {"web", "worker"} <= roles.keys()


def test_receipt_that_was_put_in_is_in_no_evidence(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    """It copies a genuine receipt, with its signature and another id, as whoever holds the web's login can."""
    office.create(5)
    forged = ids.new_uuid()
    with unit_of_work(office.tenant.id):
        genuine = Receipt.objects.get(kind="work_item.created")
        genuine.id = forged
        genuine.body = bytes(genuine.body).replace(genuine_id(genuine), ids.public_id(ids.RECEIPT, forged).encode())
        genuine.body_sha256 = sha256_hex(genuine.body)
        Receipt.objects.bulk_create([genuine])
        SealQueueEntry.objects.bulk_create([SealQueueEntry(id=forged, tenant_id=office.tenant.id)])
    sealing_setup.seal()
    archive, key = download_evidence(office, sealing_setup, tmp_path)
    code, report = verified(archive, key)
    assert (code, report["findings"]) == (0, [])
    with unit_of_work(office.tenant.id):
        assert dict(QuarantinedReceipt.objects.values_list("id", "reason")) == {forged: "time_differs"}
        assert not Receipt.objects.filter(id=forged).exists()


def genuine_id(receipt: Receipt) -> bytes:
    """Return the id in the body of a receipt."""
    return str(json.loads(bytes(receipt.body))["id"]).encode()


def test_unsealed_receipts_are_reported_and_proven_after_sealing(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path
) -> None:
    api = office.api("ada")
    sealing_setup.seal()
    with unit_of_work(office.tenant.id):
        sealed = Receipt.objects.count()
    write_receipts(office.tenant, 3)
    time.sleep(0.01)  # an export ends at the last complete millisecond
    made = api.post("/telemetry/exports", {}).json()["export_id"]
    archive = tmp_path / "evidence.zip"
    for findings in (3, 0):
        answer = api.get(f"/telemetry/exports/{made}/evidence")
        archive.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
        [checkpoint] = api.get("/checkpoints", {"limit": 1}).json()["data"]
        code, report = verified(archive, checkpoint["verifier_keys"][0])
        assert (code, [(one["code"], one["line"]) for one in report["findings"]]) == (
            min(findings, 1),
            [("not_sealed", line) for line in range(sealed + 1, sealed + 1 + findings)],
        )
        sealing_setup.seal()


def test_a_filtered_export_of_a_long_log_takes_only_the_hashes_it_needs(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WHOLE_LOG", 100)
    office.create(5)
    write_receipts(office.tenant, 1200)
    sealing_setup.seal()
    archive, key = download_evidence(office, sealing_setup, tmp_path, filters={"kind": "work_item.created"})
    code, report = verified(archive, key)
    assert (code, report["findings"], report["receipts"]) == (0, [], 1), report
    with zipfile.ZipFile(archive) as opened:
        tiles = sorted(name.partition("/tile/")[2] for name in opened.namelist() if "/tile/" in name)
    assert [name for name in tiles if name.startswith("0/") and ".p/" not in name] == ["0/000"]


def test_one_changed_byte_is_named(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    write_receipts(office.tenant, 300)
    sealing_setup.seal()
    archive, key = download_evidence(office, sealing_setup, tmp_path)
    changed = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("receipts.ndjson"):
                lines = data.splitlines(keepends=True)
                named = json.loads(lines[150])["id"]
                lines[150] = lines[150].replace(b'"entry_point":"', b'"entry_point":"x', 1)
                data = b"".join(lines)
            target.writestr(name, data)
    archive.write_bytes(changed.getvalue())
    code, report = verified(archive, key)
    assert code == 1
    assert [(one["receipt"], one["line"]) for one in report["findings"]] == [(named, 151)]


def test_no_network_and_no_database_is_needed(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network namespace cannot be made here (unshare -n)")
    write_receipts(office.tenant, 300)
    sealing_setup.seal()
    archive, key = download_evidence(office, sealing_setup, tmp_path)
    probe = "import socket; s = socket.socket(); s.settimeout(2); s.connect(('127.0.0.1', 9))"
    assert (
        "unreachable"
        in subprocess.run(
            [unshare, "-n", sys.executable, "-c", probe], capture_output=True, text=True, check=False
        ).stderr
    )
    code, report = verified(archive, key, unshare, "-n")
    assert (code, report["findings"]) == (0, []), report


def test_unprovable_export_is_refused(office: Office, sealing_setup: SealingSetup) -> None:
    api = office.api("ada")
    made = api.post("/telemetry/exports", {}).json()
    early = api.get(f"/telemetry/exports/{made['export_id']}/evidence")
    assert (early.status_code, early.json()["reason_code"]) == (409, "receipt_not_sealed")
    sealing_setup.seal()
    table = api.post("/telemetry/exports", {"format": "csv"}).json()
    refused = api.get(f"/telemetry/exports/{table['export_id']}/evidence")
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "export_not_verifiable")
    assert api.get("/telemetry/exports/te_x/evidence").status_code == 404
    assert office.api("rita").get(f"/telemetry/exports/{made['export_id']}/evidence").status_code == 403


def test_the_console_hands_out_evidence_and_verifier_and_verifies_by_button(
    office: Office, sealing_setup: SealingSetup
) -> None:
    item = office.create(5)
    api = office.api("ada")
    assert api.get("/telemetry/verifier").content == VERIFIER.read_bytes()
    made = api.post("/telemetry/exports", {}).json()["export_id"]
    sealing_setup.seal()
    browser = sign_in(office.people["ada"])
    page = browser.get(f"/console/telemetry/telemetryexport/{made}/").content.decode()
    for name in (f"{made}/evidence/", "verifier/"):
        address = f"/console/telemetry/telemetryexport/{name}"
        assert address in page
        answer = browser.get(address)
        assert answer.status_code == 200
        assert "attachment" in answer.headers["Content-Disposition"]
    assert browser.get("/console/telemetry/telemetryexport/verifier/").content == VERIFIER.read_bytes()
    shown = browser.get(f"/console/workitems/workitem/{item}/").content.decode()
    with unit_of_work(office.tenant.id):
        receipt = Receipt.objects.get(work_item_id=item.id)
        place = list(Receipt.objects.order_by("id").values_list("id", flat=True)).index(receipt.id) + 1
    assert f"/console/telemetry/receipt/{receipt}/verify/" in shown
    assert "sealed</span>" in shown
    said = browser.post(f"/console/telemetry/receipt/{receipt}/verify/", follow=True).content.decode()
    assert f"and are receipt {place} of" in said
    changed = "replace(convert_from(body, 'UTF8'), 'rita', 'rota') || ' '"
    by_sql(
        f"UPDATE telemetry_receipt SET body = convert_to({changed}, 'UTF8'), "
        f"body_sha256 = encode(sha256(convert_to({changed}, 'UTF8')), 'hex') WHERE id = '{receipt.id}'"
    )
    said = browser.post(f"/console/telemetry/receipt/{receipt}/verify/", follow=True).content.decode()
    assert "receipt_does_not_hold" in said


def test_a_refused_path_keeps_no_word_that_may_be_anything(office: Office) -> None:
    office.api("rita").get("/work-items/alice@example.org")
    office.api("rita").get("/work-items/wi_01m893/timeline")
    paths = [body["inputs"]["path"] for body in office.bodies("request.refused")]
    assert paths == ["/work-items/*", "/work-items/wi_01m893/timeline"]
