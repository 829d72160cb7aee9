"""Inclusion promises in API responses: signed by the web process, endorsed by the sealer, and verified by third
parties."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aics_tlog
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from telemetry.inclusion_promises.promise import clear_endorsement_cache, inclusion_promise
from telemetry.inclusion_promises.statement import inclusion_promise_public_key
from telemetry.models import InclusionPromiseKey, Receipt
from telemetry.receipts.collection import collecting_receipts
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import SignedNote, Signer, sign
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.telemetry.sealed import NAME, SealingSetup, origin, write_receipts
from tests.telemetry.tampering import by_sql
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.instance_membership import differing_facts

pytestmark = pytest.mark.django_db(transaction=True)

VERIFIER = Path(__file__).resolve().parents[3] / "telemetry" / "verifier" / "threada_verify.py"


@pytest.fixture(autouse=True)
def promises_on(settings: Any) -> None:
    settings.THREADA_INCLUSION_PROMISES = True
    settings.THREADA_PROMISE_KEY = "a promise key of this test"


@pytest.fixture
def sealing_setup(tmp_path: Path, settings: Any) -> Iterator[SealingSetup]:
    """Run a sealer that has endorsed the key of this process."""
    sealing_setup = SealingSetup(tmp_path)
    endorse_key(sealing_setup, settings)
    yield sealing_setup
    clear_endorsement_cache()


def endorse_key(sealing_setup: SealingSetup, settings: Any) -> None:
    sealing_setup.seal(promise_key=inclusion_promise_public_key(settings.THREADA_PROMISE_KEY))
    clear_endorsement_cache()


def verified(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the downloaded verifier in a separate process. Return exit status and report."""
    command = [sys.executable, str(VERIFIER), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {"said": done.stderr}


def kept_answer(answer: Any, folder: Path, name: str = "answer.json") -> Path:
    file = folder / name
    file.write_bytes(answer.content)
    return file


def vkey(sealing_setup: SealingSetup, office: Office) -> str:
    """Return the public key of the tenant's log, the only input that a third party trusts."""
    return str(sealing_setup.key_file.keys()[-1].verifier_key(origin(office.tenant)))


def evidence(office: Office, sealing_setup: SealingSetup, folder: Path) -> Path:
    api = office.api("ada")
    made = api.post("/telemetry/exports", {}).json()
    sealing_setup.seal()
    archive = folder / f"{made['export_id']}.zip"
    answer = api.get(f"/telemetry/exports/{made['export_id']}/evidence")
    archive.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    return archive


def executed(office: Office, **headers: str) -> Any:
    item = office.create(500)
    body = {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}
    answer = office.api("rita").post("/actions/execute", body, headers=headers)
    assert answer.status_code == 202, answer.content
    return answer


def recorded(office: Office, kinds: set[str]) -> dict[str, bytes]:
    """Return the bodies of the receipts of these kinds, by public id."""
    with unit_of_work(office.tenant.id):
        rows = Receipt.objects.filter(kind__in=kinds)
        return {row.public_id: bytes(row.body) for row in rows}


def test_an_execution_is_promised_what_it_recorded_and_the_promise_is_kept(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path
) -> None:
    answer = executed(office)
    promise = answer.json()["receipt_promise"]
    bodies = recorded(office, {"policy.decided", "execution.proposed", "decision_step.opened"})
    named = {line.split(" ")[1]: line.split(" ")[2] for line in promise["promise"].split("\n") if "receipt rc_" in line}
    assert list(named) == promise["receipt_ids"]
    proposed = recorded(office, {"execution.proposed"})
    assert len(proposed) == 1
    assert set(proposed) < set(named)
    assert len(bodies.keys() & named.keys()) >= 2
    result = aics_tlog.parse_note(promise["promise"])
    assert result.text.startswith(f"{NAME}/promises\nlog {origin(office.tenant)}\ngiven ")
    file = kept_answer(answer, tmp_path)
    code, report = verified("promise", file, "--key", vkey(sealing_setup, office))
    assert (code, set(report["promise"]["receipts"].values())) == (0, {"promised"})
    code, report = verified(
        "promise", file, evidence(office, sealing_setup, tmp_path), "--key", vkey(sealing_setup, office)
    )
    assert (code, set(report["promise"]["receipts"].values())) == (0, {"kept: it is in the log"})
    [(receipt, body)] = proposed.items()
    (tmp_path / "receipt.json").write_bytes(body)
    proof = office.api("ada").get(f"/receipts/{receipt}/proof").content
    (tmp_path / "receipt.tlog-proof").write_bytes(proof)
    single = ("promise", file, tmp_path / "receipt.json", "--proof", tmp_path / "receipt.tlog-proof")
    code, report = verified(*single, "--key", vkey(sealing_setup, office))
    assert (code, report["promise"]["receipts"][receipt]) == (0, "kept: it is in the log")


def test_votes_and_publications_are_promised_too(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    step = executed(office).json()["decision_steps"][0]
    ballot = {"decision": "approve", "envelope_sha256": step["envelope_sha256"]}
    voted = office.api("fay").post(f"/decision-steps/{step['decision_step_id']}/votes", ballot)
    assert voted.status_code == 201, voted.content
    assert set(recorded(office, {"vote.recorded"})) == set(voted.json()["receipt_promise"]["receipt_ids"])
    named = {"decision_step_id": step["decision_step_id"], "envelope_sha256": step["envelope_sha256"]}
    batch = {"decision": "approve", "steps": [named]}
    both = office.api("finn").post("/decision-steps/batch-votes", batch)
    assert both.status_code == 201, both.content
    assert set(recorded(office, {"vote.recorded"})) & set(both.json()["receipt_promise"]["receipt_ids"])
    api = office.api("ada")
    rules = {"rules": [{"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"}]}
    made = api.post("/policies", {"policy_id": "other", "document": rules}).json()
    published = api.post(f"/policies/other/versions/{made['version']}/publish", {})
    assert published.status_code == 200, published.content
    assert set(recorded(office, {"policy.published"})) & set(published.json()["receipt_promise"]["receipt_ids"])
    archive = evidence(office, sealing_setup, tmp_path)
    for name, answer in (("voted", voted), ("both", both), ("published", published)):
        file = kept_answer(answer, tmp_path, f"{name}.json")
        code, report = verified("promise", file, archive, "--key", vkey(sealing_setup, office))
        assert (code, set(report["promise"]["receipts"].values())) == (0, {"kept: it is in the log"})


def test_a_receipt_that_is_dropped_before_it_is_sealed_breaks_its_promise(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, settings: Any
) -> None:
    settings.THREADA_PROMISE_SECONDS = 2
    answer = executed(office)
    file = kept_answer(answer, tmp_path)
    [receipt] = recorded(office, {"execution.proposed"})
    row = f"id = '{ids.parse_public_id(ids.RECEIPT, receipt)}'"
    by_sql(f"DELETE FROM telemetry_sealqueueentry WHERE {row}", f"DELETE FROM telemetry_receipt WHERE {row}")
    code, report = verified(
        "promise", file, evidence(office, sealing_setup, tmp_path), "--key", vkey(sealing_setup, office)
    )
    assert code == 0
    assert report["promise"]["receipts"][receipt].startswith("not due yet when the log was signed")
    time.sleep(3)
    archive = evidence(office, sealing_setup, tmp_path)
    code, report = verified("promise", file, archive, "--key", vkey(sealing_setup, office))
    assert (code, report["promise"]["receipts"][receipt]) == (1, "BROKEN")
    assert [(one["code"], one["receipt"]) for one in report["findings"]] == [("promise_broken", receipt)]
    others = {outcome for name, outcome in report["promise"]["receipts"].items() if name != receipt}
    assert others == {"kept: it is in the log"}


def test_partial_log_gives_no_verdict(office: Office, sealing_setup: SealingSetup, tmp_path: Path) -> None:
    file = kept_answer(executed(office), tmp_path)
    sealing_setup.seal()
    with unit_of_work(office.tenant.id):
        first = Receipt.objects.earliest("id")
    (tmp_path / "receipt.json").write_bytes(bytes(first.body))
    (tmp_path / "proof").write_bytes(office.api("ada").get(f"/receipts/{first.public_id}/proof").content)
    arguments = ("promise", file, tmp_path / "receipt.json", "--proof", tmp_path / "proof")
    code, report = verified(*arguments, "--key", vkey(sealing_setup, office))
    assert (code, report["undecided"], report["verified"]) == (2, True, False)


def test_forged_edited_and_foreign_promises_are_not_accepted(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, other_tenant: Any
) -> None:
    promise = executed(office).json()["receipt_promise"]
    note, endorsement = promise["promise"], promise["promise_key"]
    key = vkey(sealing_setup, office)
    mallory = Ed25519PrivateKey.from_private_bytes(b"m" * 32)
    theirs = Signer(f"{NAME}/promises", mallory)
    own = sign(SignedNote.parse(note).text, [theirs])
    text = f"{NAME}/promise-key\n{theirs.verifier_key}\n"
    cases = {
        "edited": (note.replace("receipt rc_", "receipt rc_0", 1), endorsement),
        "later": (note.replace("due 20", "due 21", 1), endorsement),
        "other tenant": (note.replace(origin(office.tenant), origin(other_tenant)), endorsement),
        "own key": (str(own), endorsement),
        "own key, own endorsement": (str(own), str(sign(text, [Signer(f"{NAME}/promise-key", mallory)]))),
        "own key, under the sealer's signature": (str(own), endorsement.replace(endorsement.split("\n")[1], text.split("\n")[1])),
        "swapped": (endorsement, note),
        "cut": (note[:-40], endorsement),
    }  # fmt: skip
    for name, (a_promise, a_key) in cases.items():
        file = tmp_path / "forged.json"
        file.write_text(json.dumps({"receipt_promise": {"promise": a_promise, "promise_key": a_key}}))
        code, report = verified("promise", file, "--key", key)
        assert (code, [one["code"] for one in report["findings"]]) == (1, ["cannot_be_checked"]), name
    good = tmp_path / "good.txt"
    good.write_text(note + endorsement)
    assert verified("promise", good, "--key", key)[0] == 0
    stranger = str(SealingSetup(tmp_path / "stranger").key_file.keys()[0].verifier_key(origin(office.tenant)))
    assert verified("promise", good, "--key", stranger)[0] == 1
    # The promise is for this tenant's log only.
    write_receipts(other_tenant, 3)
    sealing_setup.seal()
    api = Api(make_token(other_tenant, make_principal(other_tenant, "aud", roles=("auditor", "operator"))))
    made = api.post("/telemetry/exports", {}).json()
    sealing_setup.seal()
    archive = tmp_path / "theirs.zip"
    sent = api.get(f"/telemetry/exports/{made['export_id']}/evidence")
    archive.write_bytes(b"".join(sent.streaming_content))  # type: ignore[attr-defined]
    code, report = verified("promise", good, archive, "--key", key, "--key", str(
        sealing_setup.key_file.keys()[0].verifier_key(origin(other_tenant))
    ))  # fmt: skip
    assert code == 1
    assert "and this is the log" in report["findings"][0]["message"]


def test_a_repeated_call_gets_the_same_promise_byte_for_byte(office: Office, sealing_setup: SealingSetup) -> None:
    item = office.create(500)
    body = {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}
    api = office.api("rita")
    first = api.post("/actions/execute", body, headers={"Idempotency-Key": "one"})
    again = api.post("/actions/execute", body, headers={"Idempotency-Key": "one"})
    assert first.json()["receipt_promise"] is not None
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    made = executed(office)
    made_key = made.json()["idempotency_key"]
    named = {**body, "work_item_id": made.json()["work_item_id"]}
    assert api.post("/actions/execute", named, headers={"Idempotency-Key": made_key}).content == made.content


def test_promise_costs_no_statement_and_is_null_until_endorsed(office: Office, tmp_path: Path, settings: Any) -> None:
    clear_endorsement_cache()
    assert executed(office).json()["receipt_promise"] is None
    endorse_key(SealingSetup(tmp_path), settings)
    assert executed(office).json()["receipt_promise"] is not None
    with unit_of_work(office.tenant.id), CaptureQueriesContext(connection) as statements:
        assert inclusion_promise(collecting_receipts(office.system)) is None
    assert len(statements) == 0
    clear_endorsement_cache()


def test_new_sealing_key_endorses_after_rotation(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, settings: Any
) -> None:
    sealing_setup.key_file.begin_rotation()
    endorse_key(sealing_setup, settings)
    both = executed(office)
    sealing_setup.key_file.finish_rotation()
    endorse_key(sealing_setup, settings)
    new = executed(office)
    assert InclusionPromiseKey.objects.count() == 3
    endorse_key(sealing_setup, settings)
    assert InclusionPromiseKey.objects.count() == 3
    for name, answer in (("both", both), ("new", new)):
        assert verified("promise", kept_answer(answer, tmp_path, name), "--key", vkey(sealing_setup, office))[0] == 0


def test_a_new_promise_key_is_endorsed_and_earlier_promises_stay_verifiable(
    office: Office, sealing_setup: SealingSetup, tmp_path: Path, settings: Any
) -> None:
    call_command("instance", "check")
    before = executed(office)
    settings.THREADA_PROMISE_KEY = "another promise key of this test"
    assert differing_facts(with_settings=False) == ["THREADA_PROMISE_KEY"]
    call_command("instance", "accept", "THREADA_PROMISE_KEY")
    assert differing_facts(with_settings=False) == []
    clear_endorsement_cache()
    assert executed(office).json()["receipt_promise"] is None, "nobody endorsed the new key yet"
    endorse_key(sealing_setup, settings)
    after = executed(office)
    key = vkey(sealing_setup, office)
    for name, answer in (("before", before), ("after", after)):
        assert verified("promise", kept_answer(answer, tmp_path, name), "--key", key)[0] == 0
    old, new = (answer.json()["receipt_promise"] for answer in (before, after))
    assert old["promise_key"] != new["promise_key"]
    (tmp_path / "mixed").write_text(json.dumps({"receipt_promise": {**new, "promise_key": old["promise_key"]}}))
    assert verified("promise", tmp_path / "mixed", "--key", key)[0] != 0


def test_the_leaf_is_the_hash_of_the_stored_bytes(office: Office, sealing_setup: SealingSetup) -> None:
    promise = executed(office).json()["receipt_promise"]
    for line in promise["promise"].split("\n"):
        if line.startswith("receipt "):
            _, receipt, leaf = line.split(" ")
            with unit_of_work(office.tenant.id):
                row = Receipt.objects.get(id=ids.parse_public_id(ids.RECEIPT, receipt))
            assert base64.b64decode(leaf) == leaf_hash(bytes(row.body))
