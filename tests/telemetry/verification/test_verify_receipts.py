"""`manage.py verify_receipts` detects and reports changes made by a database administrator with SQL.

One log is sealed for all tests of this module; the changes of each test are rolled back.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry.models import Receipt
from tests.telemetry.sealed import SealingSetup, newest, write_receipts
from tests.telemetry.tampering import SealedLog, Verify, back_to, by_sql, found
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("instance_log")]


@pytest.fixture
def sealed(sealed_log: SealedLog, monkeypatch: pytest.MonkeyPatch) -> SealedLog:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealed_log.sealing_setup.directory / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealed_log.sealing_setup.directory / "checkpoints"))
    return sealed_log


def test_untouched_log_is_verified(verify: Verify, sealed: SealedLog) -> None:
    write_receipts(sealed.tenant, 3)
    said = verify()
    origin = newest(sealed.tenant).origin
    key_id = sealed.sealing_setup.key_file.keys()[0].verifier_key(origin).key_id.hex()
    line = f"acme: {sealed.size} receipts sealed, 3 waiting, 3 checkpoints, signed with {key_id}: all valid"
    instance = "instance: 3 checkpoints of tenants sealed, 0 waiting, 3 checkpoints of its own: all valid"
    assert (said.code, said.err, said.lines) == (0, "", [line, instance])
    assert verify("--tenant", "acme").lines == [line]


def test_wrong_use(verify: Verify, sealed: SealedLog, tmp_path: Path) -> None:
    assert (verify("--tenant", "nobody").code, verify("--tenant", "nobody").err) == (
        1,
        "There is no tenant 'nobody'.\n",
    )
    absent = tmp_path / "absent"
    assert verify("--against", str(absent)).code == 2
    absent.write_text("nonsense")
    assert verify("--against", str(absent)).code == 2
    absent.write_text("")
    assert verify("--against", str(absent)).code == 2
    assert verify("--key", "nonsense").code == 2


def test_a_deleted_receipt(verify: Verify, sealed: SealedLog) -> None:
    by_sql(f"DELETE FROM telemetry_receipt WHERE {sealed.where(50)}")
    assert found(verify) == [f"acme: sequence 50, receipt {sealed.named(50)}: sealed, and not in the database any more"]


def test_one_edited_byte(verify: Verify, sealed: SealedLog) -> None:
    by_sql(f"UPDATE telemetry_receipt SET body = set_byte(body, 40, get_byte(body, 40) # 1) WHERE {sealed.where(50)}")
    lines = found(verify)
    assert (
        lines[0] == f"acme: sequence 50, receipt {sealed.named(50)}: the stored bytes are not the ones that were sealed"
    )
    assert all(line.startswith(f"acme: sequence 50, receipt {sealed.named(50)}: ") for line in lines)


def test_edited_receipt_with_a_recomputed_digest(verify: Verify, sealed: SealedLog) -> None:
    by_sql(
        "UPDATE telemetry_receipt SET body = convert_to(replace(convert_from(body, 'UTF8'), '\"number\":', "
        f"'\"number\":1'), 'UTF8') WHERE {sealed.where(50)}",
        f"UPDATE telemetry_receipt SET body_sha256 = encode(sha256(body), 'hex') WHERE {sealed.where(50)}",
    )
    assert found(verify) == [
        f"acme: sequence 50, receipt {sealed.named(50)}: the stored bytes are not the ones that were sealed"
    ]


def test_an_edited_timestamp(verify: Verify, sealed: SealedLog) -> None:
    with unit_of_work(sealed.tenant.id):
        then = Receipt.objects.get(id=sealed.ids[50]).occurred_at
    by_sql(f"UPDATE telemetry_receipt SET occurred_at = occurred_at - interval '1 day' WHERE {sealed.where(50)}")
    (line,) = found(verify)
    assert line.startswith(f"acme: sequence 50, receipt {sealed.named(50)}: column occurred_at is ")
    assert line.endswith(f", the receipt says {then.isoformat()}")


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("status", "approved", "approved"),
        ("kind", "thing.undone", "thing.undone"),
        ("workflow", "payments", "payments"),
        ("reason_codes", "{FINE}", "['FINE']"),
        ("correlation_id", "other", "other"),
        ("actor_id", "0192d3a0-0000-7000-8000-000000000001", "0192d3a0-0000-7000-8000-000000000001"),
        ("work_item_id", "0192d3a0-0000-7000-8000-000000000001", "0192d3a0-0000-7000-8000-000000000001"),
    ],
)
def test_an_edited_column(verify: Verify, sealed: SealedLog, column: str, value: str, shown: str) -> None:
    by_sql(f"UPDATE telemetry_receipt SET {column} = '{value}' WHERE {sealed.where(50)}")
    (line,) = found(verify)
    assert line.startswith(
        f"acme: sequence 50, receipt {sealed.named(50)}: column {column} is {shown}, the receipt says "
    )


def test_two_swapped_receipts(verify: Verify, sealed: SealedLog) -> None:
    by_sql(
        "UPDATE telemetry_receipt r SET body = o.body, body_sha256 = o.body_sha256 FROM telemetry_receipt o "
        f"WHERE ({sealed.where(50, 'r')} AND {sealed.where(51, 'o')}) OR ({sealed.where(51, 'r')} AND {sealed.where(50, 'o')})"
    )
    assert found(verify) == [
        f"acme: sequence {one}, receipt {sealed.named(one)}: {message}"
        for one, other in ((50, 51), (51, 50))
        for message in (
            "the stored bytes are not the ones that were sealed",
            f"the stored bytes are those of receipt {sealed.named(other)}",
        )
    ]


def test_two_swapped_places(verify: Verify, sealed: SealedLog) -> None:
    """Receipts and leaves match; the tree does not."""
    by_sql(
        'UPDATE telemetry_logleaf SET "index" = "index" + 1000000 WHERE "index" IN (50, 51)',
        'UPDATE telemetry_logleaf SET "index" = CASE "index" WHEN 1000050 THEN 51 ELSE 50 END WHERE "index" >= 1000000',
    )
    first, second, third = found(verify)
    start = sealed.size - 300
    assert first.startswith(
        f"acme: sequence {start}: the first {start + 100} receipts are not the ones that checkpoint "
    )
    assert first.endswith(f" was signed over; the first {start} are")
    assert second == ("acme: sequence 0: the kept hash over sequences 0 to 255 is missing or not that of their leaves")
    assert third == f"acme: forked: its first {sealed.size} receipts are not the ones that were sealed then"


def test_deleted_and_renumbered(verify: Verify, sealed: SealedLog) -> None:
    """A receipt and its leaf are deleted and all later leaves are renumbered, including the hashes above."""
    size = sealed.size
    by_sql(
        f"DELETE FROM telemetry_receipt WHERE {sealed.where(50)}",
        f"DELETE FROM telemetry_logleaf WHERE {sealed.where(50)}",
        'UPDATE telemetry_logleaf SET "index" = "index" + 1000000 WHERE "index" > 50',
        'UPDATE telemetry_logleaf SET "index" = "index" - 1000001 WHERE "index" >= 1000000',
        "DELETE FROM telemetry_lognode",
    )
    lines = found(verify)
    start = size - 300
    assert lines[0].startswith(
        f"acme: sequence {start}: the first {start + 100} receipts are not the ones that checkpoint"
    )
    assert lines[-1] == (
        f"acme: sequence {size - 1}: rolled back: {size} receipts were sealed then, and the log has {size - 1} now"
    )
    assert any("was signed over" in line and f"the log has {size - 1}" in line for line in lines)


def test_a_leaf_that_was_taken_out(verify: Verify, sealed: SealedLog) -> None:
    by_sql(f"DELETE FROM telemetry_logleaf WHERE {sealed.where(50)}")
    assert found(verify) == [
        "acme: sequence 50: the log has no leaf for sequence 50: it was taken out",
        f"acme: receipt {sealed.named(50)}: neither sealed nor queued for it: it was put in, or its leaf was taken out",
    ]


def test_an_edited_receipt_with_its_leaf(verify: Verify, sealed: SealedLog) -> None:
    by_sql(
        "UPDATE telemetry_receipt SET body = convert_to(replace(convert_from(body, 'UTF8'), '\"number\":', "
        f"'\"number\":1'), 'UTF8') WHERE {sealed.where(50)}",
        f"UPDATE telemetry_receipt SET body_sha256 = encode(sha256(body), 'hex') WHERE {sealed.where(50)}",
        "UPDATE telemetry_logleaf l SET hash = sha256(decode('00', 'hex') || r.body) FROM telemetry_receipt r "
        f"WHERE r.id = l.id AND {sealed.where(50, 'l')}",
    )
    lines = found(verify)
    assert len(lines) == 4
    assert lines[0].endswith(" does not verify")
    assert "was signed over" in lines[1]
    assert "kept hash" in lines[2]
    assert "forked" in lines[3]


def test_a_receipt_put_in_by_hand(verify: Verify, sealed: SealedLog) -> None:
    by_sql(
        "INSERT INTO telemetry_receipt SELECT (r).* FROM (SELECT jsonb_populate_record(t, "
        f"jsonb_build_object('id', gen_random_uuid())) AS r FROM telemetry_receipt t WHERE {sealed.where(50, 't')}) copy"
    )
    lines = found(verify)
    assert len(lines) == 2
    assert lines[0].endswith("neither sealed nor queued for it: it was put in, or its leaf was taken out")
    assert lines[1].endswith(f"the stored bytes are those of receipt {sealed.named(50)}")


def test_edited_checkpoints(verify: Verify, sealed: SealedLog) -> None:
    by_sql("UPDATE telemetry_checkpoint SET size = size + 1 WHERE size = (SELECT max(size) FROM telemetry_checkpoint)")
    size = sealed.size
    lines = found(verify)
    assert f"of {size + 1} receipts: its columns are not what was signed" in lines[0]
    by_sql(
        "UPDATE telemetry_checkpoint SET note = replace(note, chr(10) || (size - 1) || chr(10), chr(10) || size || chr(10))"
    )
    assert "the signature of log.example.org/tn_" in found(verify)[0]


def test_checkpoints_of_another_key(
    verify: Verify, sealed: SealedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    said = verify("--tenant", "acme")  # without a key: the keys named by the database
    assert (said.code, said.err) == (
        0,
        "acme: The keys are the ones the database names. Say --key to trust your own.\n",
    )
    SealingSetup(tmp_path)  # another key
    lines = found(verify)
    assert len(lines) == 3
    assert all(line.endswith(" receipts: no key that is known here signed the note") for line in lines)
    theirs = tmp_path / "keys"
    theirs.write_text(f"# kept\n{newest(sealed.tenant).verifier_keys[0]}\n")
    assert verify("--tenant", "acme", "--key", str(theirs)).code == 0


def test_rolled_back_to_an_older_valid_state(
    verify: Verify, sealed: SealedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remaining rows are consistent; only the anchor outside the database shows the rollback."""
    size = sealed.size
    saved = tmp_path / "saved.txt"
    saved.write_text(newest(sealed.tenant).note)
    by_sql(*back_to(size - 200))
    assert found(verify) == [
        f"acme: sequence {size - 200}: rolled back: {size} receipts were sealed then, and the log has {size - 200} now"
    ]
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "lost"))
    assert verify("--tenant", "acme").code == 0
    assert found(verify, "--against", str(saved)) == [
        f"acme: sequence {size - 200}: rolled back: {size} receipts were sealed then, and the log has {size - 200} now"
    ]


def test_missing_tenant(verify: Verify, sealed: SealedLog, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    note = newest(sealed.tenant).note
    gone = note.replace(ids.public_id(ids.TENANT, sealed.tenant.id), "tn_01kb4x0000000000000000000x")
    saved.write_text(note + gone)
    said = verify("--against", str(saved))
    assert said.code == 1
    origin = gone.partition("\n")[0]
    assert said.lines[-1] == (
        f"{origin}: {sealed.size} receipts were sealed, and the tenant is not in the database any more"
    )


def test_an_older_checkpoint_must_be_signed(verify: Verify, sealed: SealedLog, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    size = sealed.size
    saved.write_text(newest(sealed.tenant).note.replace(f"\n{size}\n", f"\n{size - 1}\n"))
    (line,) = found(verify, "--against", str(saved))
    assert line.startswith(f"acme: the older checkpoint of {size - 1} receipts: the signature of ")


def test_a_signature_of_another_receipt(verify: Verify, sealed: SealedLog) -> None:
    by_sql(
        "UPDATE telemetry_receipt r SET signature = o.signature FROM telemetry_receipt o "
        f"WHERE {sealed.where(50, 'r')} AND {sealed.where(51, 'o')}"
    )
    [line] = found(verify)
    assert line.startswith(f"acme: sequence 50, receipt {sealed.named(50)}: the signature of worker+")
    assert line.endswith(" does not verify")


def test_a_receipt_that_was_put_in_with_its_queue_row(verify: Verify, sealed: SealedLog) -> None:
    """A copy under another id that names itself, as a forged vote would, with the signature of its model."""
    forged = ids.new_uuid()
    old, new = sealed.named(50), ids.public_id(ids.RECEIPT, forged)
    by_sql(
        "INSERT INTO telemetry_receipt SELECT (r).* FROM (SELECT jsonb_populate_record(t, "
        f"jsonb_build_object('id', '{forged}')) AS r FROM telemetry_receipt t WHERE {sealed.where(50, 't')}) copy",
        "UPDATE telemetry_receipt SET body = convert_to(replace(convert_from(body, 'UTF8'), "
        f"'{old}', '{new}'), 'UTF8') WHERE id = '{forged}'",
        f"UPDATE telemetry_receipt SET body_sha256 = encode(sha256(body), 'hex') WHERE id = '{forged}'",
        f"INSERT INTO telemetry_sealqueueentry (id, tenant_id) VALUES ('{forged}', '{sealed.tenant.id}')",
    )
    first, second = found(verify)
    assert first.partition(": the signature of ")[0] == f"acme: receipt {new}"
    assert second.startswith(f"acme: receipt {new}: its id is of ")


def test_a_receipt_without_a_signature_in_a_log_that_requires_them(verify: Verify, sealed: SealedLog) -> None:
    by_sql(f"UPDATE telemetry_receipt SET signature = '' WHERE {sealed.where(50)}")
    assert found(verify) == [
        (
            f"acme: sequence 50, receipt {sealed.named(50)}: no process of the product signed it, and the log requires it "
            "from sequence 0 on"
        )
    ]
