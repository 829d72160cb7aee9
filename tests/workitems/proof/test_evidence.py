"""`manage.py evidence`: one file for an auditor, which verifies without the product."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from tests.journeys.conftest import demo
from tests.journeys.demo import SMALL, Demo
from tests.telemetry.exports.test_evidence import verified
from tests.telemetry.sealed import SealingSetup, newest
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339

__all__ = ["demo"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_archive_verifies_and_lists_access(demo: Demo, tmp_path: Path, settings: Settings) -> None:
    settings.THREADA_EXPORT_DIR = tmp_path / "exports"
    demo.hand_in(SMALL)
    now = clock.now()
    SealingSetup(tmp_path / "sealing").seal()
    file = tmp_path / "evidence.zip"
    victim = tmp_path / "victim"
    victim.write_text("of another user")
    taken = file.with_name(f".{file.name}.{os.getpid()}")
    taken.symlink_to(victim)  # by somebody who may write into the folder
    period = ["--from", rfc3339(now - timedelta(days=1)), "--to", rfc3339(now)]
    with pytest.raises(SystemExit):
        call_command("evidence", str(file), "--tenant", "demo", "--framework", "soc2", *period)
    assert (victim.read_text(), file.exists()) == ("of another user", False)
    taken.unlink()
    call_command("evidence", str(file), "--tenant", "demo", "--framework", "soc2", *period)
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    listed = dict(reversed(line.split("  ")) for line in members.pop("SHA256SUMS").decode().splitlines())
    assert listed == {name: hashlib.sha256(body).hexdigest() for name, body in members.items()}
    rows = {row["principal"]: row for row in csv.DictReader(io.StringIO(members["access.csv"].decode()))}
    assert (rows["finance-1"]["roles"], rows["finance-1"]["kind"]) == ("approver finance", "human")
    assert rows["demo-client"]["credentials"] == "1"
    assert rows["finance-1"]["grants"].startswith("role approver since 20")
    assert members["access-reviews.csv"].startswith(b"review,list_sha256,")
    assert b"CC8.1" in members["controls.md"]
    assert "configuration/policies/payments.yaml" in members or any("packs/" in name for name in members)
    assert {check["check"] for check in json.loads(members["proof.json"])["checks"]} >= {"requester_cannot_approve"}
    inner = tmp_path / "receipts-evidence.zip"
    inner.write_bytes(members["receipts-evidence.zip"])
    status, report = verified(inner, newest(demo.tenant).verifier_keys[0])
    assert status == 0, json.dumps(report)[:3000]
    with pytest.raises(SystemExit):
        call_command("evidence", str(file), "--tenant", "demo", "--framework", "soc2", *period)
