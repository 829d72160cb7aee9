"""Exports of the instance log: a tenant receives its own entry, the operator receives the whole log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aics_tlog
import pytest
from django.core.management import call_command

from telemetry.tlog.proof_text import TlogProof
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.telemetry.sealed import NAME, SealingSetup, newest, origin, write_receipts
from tests.telemetry.tampering import drop_tenant
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instance_log")]

VERIFIER = Path(__file__).resolve().parents[3] / "telemetry" / "verifier" / "threada_verify.py"


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path)


def auditor(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, f"{tenant.slug}-aud", roles=("auditor", "operator"))))


def verified(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the downloaded verifier in a separate process. Return exit status and report."""
    command = [sys.executable, str(VERIFIER), "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {"said": done.stderr}


def vkey(sealing_setup: SealingSetup, name: str = f"{NAME}/instance") -> str:
    return str(sealing_setup.key_file.keys()[-1].verifier_key(name))


def evidence_of(tenant: Tenant, api: Api, folder: Path) -> Path:
    made = api.post("/telemetry/exports", {}).json()
    answer = api.get(f"/telemetry/exports/{made['export_id']}/evidence")
    assert answer.status_code == 200, answer.content
    archive = folder / f"{tenant.slug}.zip"
    archive.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    return archive


def test_a_tenant_gets_its_place_and_learns_nothing_of_others(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup
) -> None:
    api = auditor(tenant)
    answer = api.get("/checkpoints/instance")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "checkpoint_not_sealed")
    assert answer.headers["Retry-After"] == "1"
    for _ in range(3):
        write_receipts(tenant, 2)
        write_receipts(other_tenant, 2)
        sealing_setup.seal()
    sealing_setup.heartbeat()
    said = api.get("/checkpoints/instance").json()
    proof = TlogProof.parse(said["entry"]["proof"])
    result = aics_tlog.verify_checkpoint(
        aics_tlog.parse_note(said["checkpoint"]), aics_tlog.parse_vkey(said["verifier_keys"][0]),
        expected_origin=f"{NAME}/instance",
    )  # fmt: skip
    assert result.ok, result.error
    assert (said["tree_size"], str(proof.checkpoint)) == (6, said["checkpoint"])
    entry = said["entry"]["checkpoint"].encode()
    assert entry.decode().startswith(f"{origin(tenant)}\n{newest(tenant).size}\n")
    assert aics_tlog.verify_leaf_inclusion(entry, proof.index, result.size, list(proof.path), result.root)
    shown = json.dumps(said)
    assert other_tenant.slug not in shown
    assert ids.public_id(ids.TENANT, other_tenant.id) not in shown


def test_it_proves_that_the_log_continues_an_older_one(
    tenant: Tenant, sealing_setup: SealingSetup, tmp_path: Path
) -> None:
    api = auditor(tenant)
    sealing_setup.seal()
    old = api.get("/checkpoints/instance").json()
    assert old["consistency"] is None
    for _ in range(4):
        write_receipts(tenant, 1)
        sealing_setup.seal()
    new = api.get("/checkpoints/instance", {"since": old["tree_size"]}).json()
    files = {name: tmp_path / f"{name}.txt" for name in ("old", "new", "between")}
    for name, text in (("old", old["checkpoint"]), ("new", new["checkpoint"]), ("between", new["consistency"])):
        files[name].write_text(text)
    arguments = ("--key", vkey(sealing_setup), "--checkpoint", files["new"], "--against", files["old"])
    code, report = verified(*arguments, "--consistency", files["between"])
    assert (code, [one["outcome"] for one in report["against"]]) == (0, ["this log continues it"])
    assert api.get("/checkpoints/instance", {"since": 99}).json()["reason_code"] == "checkpoint_not_sealed"
    for wrong in ("-1", "1.0", "x", "1" * 19):
        assert api.get("/checkpoints/instance", {"since": wrong}).status_code == 422


def test_the_evidence_of_two_tenants_is_in_one_log(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, tmp_path: Path
) -> None:
    """Also if the newest checkpoint is a heartbeat, which is not a leaf."""
    for each in (tenant, other_tenant):
        write_receipts(each, 20)
    apis = {each: auditor(each) for each in (tenant, other_tenant)}
    sealing_setup.seal()
    sealing_setup.heartbeat()
    places = []
    for each in (tenant, other_tenant):
        archive = evidence_of(each, apis[each], tmp_path)
        code, report = verified("--key", vkey(sealing_setup, origin(each)), archive)
        assert (code, report["findings"]) == (0, [])
        places.append(report["instance"])
    assert {place["log"] for place in places} == {f"{NAME}/instance"}
    assert {place["root"] for place in places} == {places[0]["root"]}
    assert sorted(place["index"] for place in places) == [0, 1]


def test_a_dropped_tenant_is_seen_in_exported_files(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, tmp_path: Path
) -> None:
    for each in (tenant, other_tenant):
        write_receipts(each, 5)
    sealing_setup.seal()
    before, after, saved = tmp_path / "before.zip", tmp_path / "after.zip", tmp_path / "saved.txt"
    call_command("export_instance_log", str(before))
    assert before.stat().st_mode & 0o777 == 0o600
    saved.write_text(auditor(tenant).get("/checkpoints/instance").json()["checkpoint"])
    arguments = ("--key", vkey(sealing_setup), "--against", saved)
    code, report = verified(*arguments, before)
    assert (code, report["receipts"], report["findings"]) == (0, 2, [])
    dropped = ids.public_id(ids.TENANT, other_tenant.id)
    drop_tenant(other_tenant)
    call_command("export_instance_log", str(after))
    code, report = verified(*arguments, after)
    assert code == 1
    assert [(one["code"], one["tenant"]) for one in report["findings"]] == [("tenant_dropped", dropped)]
    with pytest.raises(SystemExit) as refused:
        call_command("export_instance_log", str(after))
    assert refused.value.code == 2


def test_nothing_is_exported_before_anything_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        call_command("export_instance_log", str(tmp_path / "none.zip"))
    assert refused.value.code == 1
    assert not (tmp_path / "none.zip").exists()
