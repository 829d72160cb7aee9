"""Votes, openings and their receipts that SQL in a request inserts: nothing is sent."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from integrations.models import Execution
from telemetry.models import Receipt, SealQueueEntry
from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import ReceiptSigner
from telemetry.tlog.checkpoint import complete_until_line, signed_from_line
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import anchor_in_place, seal_queued, sign_in_place
from tests.workitems.office import Office
from threada_site.database.role_names import APP
from threada_site.database.roles import OWNER
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from workitems.completeness.verify import verify_completeness
from workitems.executions.run_execution import run_execution
from workitems.executions.running.claim_set import claim_set
from workitems.models import DecisionStep, Vote, WorkItem

pytestmark = pytest.mark.django_db


def voted_once(office: Office) -> tuple[WorkItem, DecisionStep, Execution, Vote]:
    """Return a payment that two people must approve, and the vote of the first."""
    item, step, execution = office.awaiting()
    office.vote(step, "fay")
    with unit_of_work(office.tenant.id):
        return item, step, execution, Vote.objects.get(step=step)


def receipt_of(office: Office, kind: str, step: DecisionStep) -> Receipt:
    with unit_of_work(office.tenant.id):
        rows = Receipt.objects.filter(kind=kind).order_by("id")
        return next(row for row in rows if json.loads(bytes(row.body))["inputs"]["decision_step_id"] == step.public_id)


def as_web(statement: str, parameters: list[Any]) -> None:
    """Execute a statement with the rights of the web's login."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {APP}")
        try:
            cursor.execute(statement, parameters)
        finally:
            cursor.execute("RESET ROLE")


def insert_copy(office: Office, original: Receipt, changes: dict[str, Any], *, signature: str = "") -> uuid.UUID:
    """Insert a changed copy of a receipt and its queue entry."""
    new_id = ids.new_uuid()
    body = json.loads(bytes(original.body))
    for path, value in changes.items():
        block, _, name = path.partition(".")
        body[block][name] = value
    body |= {"id": ids.public_id(ids.RECEIPT, new_id), "occurred_at": clock.rfc3339(ids.instant_of(new_id))}
    data = canonical_bytes(body)
    with unit_of_work(office.tenant.id):
        as_web(
            "INSERT INTO telemetry_receipt SELECT (r).* FROM (SELECT jsonb_populate_record(t, %s::jsonb) AS r "
            "FROM telemetry_receipt t WHERE id = %s) copied",
            [
                json.dumps(
                    {
                        "id": str(new_id),
                        "body": f"\\x{data.hex()}",
                        "body_sha256": sha256_hex(data),
                        "occurred_at": body["occurred_at"],
                        "signature": signature,
                    }
                ),
                original.id,
            ],
        )
        as_web("INSERT INTO telemetry_sealqueueentry (id, tenant_id) VALUES (%s, %s)", [new_id, office.tenant.id])
    return new_id


def forge_vote(office: Office, step: DecisionStep, vote: Vote, *, signature: str = "") -> uuid.UUID:
    """Insert the vote of a second person by SQL, with its receipt, and let the execution start. Return the receipt."""
    voter, vote_id = office.people["finn"].id, ids.new_uuid()
    receipt = insert_copy(
        office,
        receipt_of(office, "vote.recorded", step),
        {
            "actor.principal": ids.public_id(ids.PRINCIPAL, voter),
            "inputs.vote_id": ids.public_id(ids.VOTE, vote_id),
            "inputs.cast_at": clock.rfc3339(vote.created_at),
        },
        signature=signature,
    )
    with unit_of_work(office.tenant.id):
        as_web(
            "INSERT INTO workitems_vote SELECT (v).* FROM (SELECT jsonb_populate_record(t, %s::jsonb) AS v "
            "FROM workitems_vote t WHERE id = %s) copied",
            [json.dumps({"id": str(vote_id), "voter_id": str(voter)}), vote.id],
        )
        as_web("UPDATE workitems_decisionstep SET status = 'approved', closed_at = now() WHERE id = %s", [step.id])
        as_web("UPDATE integrations_execution SET status = 'started' WHERE work_item_id = %s", [step.work_item_id])
    return receipt


def assert_nothing_sent(office: Office, execution: Execution, bank: Receiver) -> None:
    run_execution(office.tenant, execution.id)
    now = office.execution(execution)
    assert (now.status, now.failure) == ("failed", "envelope_mismatch")
    assert bank.requests() == []


def test_a_forged_vote_with_its_receipt(office: Office, bank: Receiver) -> None:
    _, step, execution, vote = voted_once(office)
    forge_vote(office, step, vote)
    claimed = claim_set(office.tenant, execution.id, take=lambda _: 10, members=[])
    assert (claimed.plans, claimed.others) == ([], [execution.id])
    assert_nothing_sent(office, execution, bank)


def test_a_forged_vote_with_the_signature_of_another_receipt(office: Office, bank: Receiver) -> None:
    _, step, execution, vote = voted_once(office)
    forge_vote(office, step, vote, signature=receipt_of(office, "vote.recorded", step).signature)
    assert_nothing_sent(office, execution, bank)


def test_a_forged_vote_signed_with_another_key(office: Office, bank: Receiver) -> None:
    _, step, execution, vote = voted_once(office)
    key = ReceiptKeyring.throw_away().private("web")
    signer = ReceiptSigner(key.verifier_key("web"), key.private_key)
    [signature] = signer.sign([b"{}"], tenant=ids.public_id(ids.TENANT, office.tenant.id))
    forge_vote(office, step, vote, signature=signature)
    assert_nothing_sent(office, execution, bank)


def test_a_vote_without_a_receipt(office: Office, bank: Receiver) -> None:
    _, step, execution, vote = voted_once(office)
    receipt = forge_vote(office, step, vote)
    by_owner(f"DELETE FROM telemetry_receipt WHERE id = '{receipt}'")
    assert_nothing_sent(office, execution, bank)


def by_owner(*statements: str) -> None:
    """Execute statements without triggers, as an administrator of the database can."""
    tables = ("telemetry_receipt", "workitems_vote", "workitems_decisionstep")
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SET ROLE {OWNER}")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workitems_decisionstep SET rule = jsonb_set(rule, '{veto}', '9')",
        "UPDATE workitems_decisionstep SET excluded_ids = '{}'",
        "UPDATE workitems_decisionstep SET grants_as_of = now() + interval '1 day'",
        "UPDATE workitems_vote SET created_at = now() + interval '20 days'",
        'UPDATE workitems_vote SET authentication = \'{"method": "session", "factors": ["passkey"]}\'',
        "UPDATE workitems_vote SET stands_for = ARRAY[voter_id]",
    ],
)
def test_changed_rows_of_a_decision(office: Office, bank: Receiver, change: str) -> None:
    _, step, execution, _ = voted_once(office)
    office.vote(step, "finn")
    by_owner(change)
    assert_nothing_sent(office, execution, bank)


def test_a_deleted_rejection(office: Office, bank: Receiver) -> None:
    """The receipt of the vote remains: who voted is counted from receipts."""
    _, step, execution, vote = voted_once(office)
    office.vote(step, "finn")
    by_owner(f"DELETE FROM workitems_vote WHERE id = '{vote.id}'")
    assert_nothing_sent(office, execution, bank)


def as_before_signatures(office: Office) -> None:
    """Leave what a version wrote that did not sign: its receipts, and openings without exclusions and controllers."""
    with unit_of_work(office.tenant.id):
        rows = list(Receipt.objects.filter(kind="decision_step.opened"))
    for row in rows:
        body = json.loads(bytes(row.body))
        for name in ("rule_sha256", "excluded", "controllers", "grants_as_of", "carried_votes"):
            del body["inputs"][name]
        by_owner(
            f"UPDATE telemetry_receipt SET body = decode('{canonical_bytes(body).hex()}', 'hex') WHERE id = '{row.id}'"
        )
    by_owner("UPDATE telemetry_receipt SET signature = ''")


@pytest.fixture
def anchor(settings: Settings, tmp_path: Path) -> Path:
    """Return the folder of the anchor of this machine, which is empty."""
    settings.THREADA_ANCHOR_DIR = tmp_path / "checkpoints"
    return tmp_path / "checkpoints"


def sealed_before_signatures(office: Office) -> None:
    """Seal what a version wrote that did not sign, under a checkpoint without `signed-from`."""
    as_before_signatures(office)
    seal_queued(office.tenant)
    sign_in_place(office.tenant)


@pytest.mark.parametrize("lines", [["complete-until"], ["complete-until", "signed-from"]])
def test_an_approval_of_a_version_that_did_not_sign_is_paid(
    office: Office, bank: Receiver, anchor: Path, lines: list[str]
) -> None:
    """While processes of that version may run, and after the log requires signatures."""
    _, step, execution, _ = voted_once(office)
    sealed_before_signatures(office)
    stated = {"complete-until": complete_until_line(clock.now()), "signed-from": signed_from_line(1_000)}
    anchor_in_place(office.tenant, anchor, *(stated[line] for line in lines))
    office.vote(step, "finn")
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "succeeded"
    assert len(bank.requests()) == 1


def test_unsigned_receipts_count_only_in_logs_of_such_versions(office: Office, bank: Receiver, anchor: Path) -> None:
    """Without a checkpoint that allows it, every receipt must be signed."""
    _, step, execution, _ = voted_once(office)
    as_before_signatures(office)
    office.vote(step, "finn")
    assert_nothing_sent(office, execution, bank)
    with unit_of_work(office.tenant.id):
        assert SealQueueEntry.objects.exists()


@pytest.mark.parametrize("kept", ["nothing", "signed", "old", "of another version", "damaged"])
def test_a_checkpoint_that_sql_inserts_does_not_lift_signatures(
    office: Office, bank: Receiver, anchor: Path, kept: str
) -> None:
    """The newest row has no line `signed-from`. The anchor says that all are signed, or nothing that can be used."""
    _, step, execution, vote = voted_once(office)
    forge_vote(office, step, vote)
    seal_queued(office.tenant)
    sign_in_place(office.tenant)
    until = complete_until_line(clock.now() - (timedelta(hours=2) if kept == "old" else timedelta(0)))
    lines = {"signed": (until, signed_from_line(0)), "old": (until,), "of another version": (), "damaged": (until,)}
    if kept in lines:
        anchor_in_place(office.tenant, anchor, *lines[kept])
    if kept == "damaged":
        for file in anchor.rglob("*.ndjson"):
            file.write_text("{}\n")
    assert_nothing_sent(office, execution, bank)


def test_receipts_after_the_place_that_the_anchor_names(office: Office, bank: Receiver, anchor: Path) -> None:
    _, step, execution, vote = voted_once(office)
    size = seal_queued(office.tenant)
    forge_vote(office, step, vote)
    seal_queued(office.tenant)
    sign_in_place(office.tenant)
    anchor_in_place(office.tenant, anchor, signed_from_line(size))
    assert_nothing_sent(office, execution, bank)


def test_verification_names_a_call_without_approvals(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vote was forged for the call, and deleted with its receipt after it."""
    _, step, execution, vote = voted_once(office)
    receipt = forge_vote(office, step, vote)
    by_owner(f"UPDATE workitems_workitem SET status = 'executing' WHERE id = '{step.work_item_id}'")
    with monkeypatch.context() as patched:
        patched.setattr("telemetry.receipts.authentic.anchored_signed_from", lambda _: None)
        run_execution(office.tenant, execution.id)
    assert len(bank.requests()) == 1
    by_owner(
        f"DELETE FROM workitems_vote WHERE id <> '{vote.id}'",
        f"DELETE FROM telemetry_sealqueueentry WHERE id = '{receipt}'",
        f"DELETE FROM telemetry_receipt WHERE id = '{receipt}'",
        "UPDATE workitems_decisionstep SET status = 'pending', closed_at = NULL",
    )
    [call] = office.bodies("execution.executed")
    with unit_of_work(office.tenant.id):
        named = [finding.message for finding in verify_completeness(office.tenant)]
    called = f"its receipts say that it was called after require_approval ({call['id']})"
    assert named == [f"{execution.public_id}: {called}, and state 1 of at least 2 approvals before"]
