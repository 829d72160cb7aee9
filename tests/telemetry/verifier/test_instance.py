"""Offline verification of the instance log: one leaf in a tenant's evidence, and the whole log from its operator."""

from __future__ import annotations

import os
import random
import secrets
from pathlib import Path

import pytest

from telemetry.tlog.note import Signer
from telemetry.tlog.proof_text import consistency_text
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import KEY, ORIGIN, SIGNER, checkpoint, verifier, whole, zipped
from tests.telemetry.verifier.test_mutated_proofs import ROUNDS, bit_of_text, character, line, other_hash, other_index

OTHER = "threada.test/tn_01kb4x00000000000000000001"
THEIRS = Signer(OTHER, key(1))
INSTANCE = Signer("threada.test/instance", key(1))


def note_of(log: Log, size: int, origin: str = ORIGIN) -> str:
    return checkpoint(log, size, signer=SIGNER if origin == ORIGIN else THEIRS)


@pytest.fixture
def instance_checkpoint(log: Log) -> Log:
    """Append leaves in turn: this tenant's checkpoint of 30 n receipts, then another tenant's."""
    tree_heads = [note_of(log, 30 * turn, origin) for turn in range(1, 21) for origin in (ORIGIN, OTHER)]
    return Log.of([tree_head.encode() for tree_head in tree_heads])


def evidence(folder: Path, log: Log, instance_checkpoint: Log, *, index: int = 38, size: int = 40) -> Path:
    """Write evidence under the tenant's checkpoint of 600 receipts, with the proof that it is leaf 38."""
    whole(folder, log)
    (folder / "instance.tlog-proof").write_text(str(instance_checkpoint.proof(index, size, signer=INSTANCE)))
    return folder


def test_evidence_names_its_place_in_the_instances_log(
    run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path
) -> None:
    for made in (evidence(tmp_path / "evidence", log, instance_checkpoint), zipped(tmp_path / "evidence")):
        said = run(made)
        assert (said.code, said.findings) == (0, [])
        assert said.report["instance"]["log"] == "threada.test/instance"
        assert (said.report["instance"]["index"], said.report["instance"]["size"]) == (38, 40)
    assert "Instance    leaf 38 of 40 in threada.test/instance" in run(made, as_json=False).out


def test_two_tenants_are_shown_to_be_in_one_log(run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    """The other tenant's evidence is under the instance checkpoint of 36 leaves; a consistency proof connects the
    two."""
    made = evidence(tmp_path / "evidence", log, instance_checkpoint)
    theirs, between = tmp_path / "theirs.txt", tmp_path / "between.txt"
    theirs.write_text(checkpoint(instance_checkpoint, 36, signer=INSTANCE))
    tree_head = instance_checkpoint.checkpoint(40, origin="threada.test/instance").sign([INSTANCE])
    between.write_text(consistency_text(36, instance_checkpoint.consistency(36, 40), tree_head))
    said = run(made, "--against", theirs, "--consistency", between)
    assert (said.code, said.findings) == (0, [])
    assert [(one["size"], one["things"], one["outcome"]) for one in said.report["against"]] == [
        (36, "checkpoints", "this log continues it")
    ]
    assert run(made, "--against", theirs).code == 2
    fork = Log.of([b"another", *instance_checkpoint.entries[1:36]])
    theirs.write_text(checkpoint(fork, 36, signer=INSTANCE))
    said = run(made, "--against", theirs, "--consistency", between)
    assert (said.code, said.findings) == (1, [("forked", None, None)])
    checkpoint_alone = tmp_path / "head.txt"
    checkpoint_alone.write_text(str(tree_head))
    theirs.write_text(checkpoint(instance_checkpoint, 36, signer=INSTANCE))
    assert run("--checkpoint", checkpoint_alone, "--against", theirs, "--consistency", between).code == 0


def test_a_proof_that_is_not_of_this_checkpoint(run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    made = evidence(tmp_path / "evidence", log, instance_checkpoint, index=36)
    assert run(made).findings == [("instance_proof_does_not_hold", None, None)]
    stranger = Signer("threada.test/instance", key(9))
    (made / "instance.tlog-proof").write_text(str(instance_checkpoint.proof(38, 40, signer=stranger)))
    assert run(made).findings == [("cannot_be_checked", None, None)]
    elsewhere = Signer("else.where/instance", key(1))
    (made / "instance.tlog-proof").write_text(str(instance_checkpoint.proof(38, 40, signer=elsewhere)))
    assert run(made).findings == [("cannot_be_checked", None, None)]


def accepted_of_mutated(
    rounds: int, seed: int, folder: Path, log: Log, instance_checkpoint: Log
) -> list[tuple[str, str, str]]:
    """Return the mutated proofs, or checkpoints under a good proof, that the verifier accepts."""
    file = verifier()
    made = evidence(folder / "evidence", log, instance_checkpoint)
    note = (made / "checkpoint.txt").read_text()
    keys = [file.Key.parse(KEY)]
    tree_head = file.Checkpoint.open(note, keys)

    class Member:
        def has(self, _name: str) -> bool:
            return True

        def text(self, _name: str) -> str:
            return self.proof

    source = Member()

    def accepted(proof: str, note: str) -> bool:
        source.proof = proof
        report = file.Report()
        try:
            file.check_instance_proof(source, note, tree_head, keys, report)
        except (file.VerificationError, UnicodeEncodeError):
            return False
        return not report.number_of_findings

    good = (made / "instance.tlog-proof").read_text()
    assert accepted(good, note)
    dice, tried, found = random.Random(seed), 0, []
    while tried < rounds:
        mutation = dice.choice([bit_of_text, character, line, other_hash, other_index])
        if dice.random() < 0.2:
            proof, changed = (
                good,
                mutation(dice, instance_checkpoint, (note, b""))[0] if mutation in {bit_of_text, line} else note + " ",
            )
        else:
            proof, changed = mutation(dice, instance_checkpoint, (good, b""))[0], note
        if (proof, changed) == (good, note):
            continue
        tried += 1
        if accepted(proof, changed):
            found.append((mutation.__name__, proof, changed))
    return found


def test_no_mutated_instance_proof_is_accepted(log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    assert accepted_of_mutated(2000, 6962, tmp_path, log, instance_checkpoint) == []


@pytest.mark.slow
def test_none_of_many_mutated_instance_proofs_is_accepted(log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    seed = int(os.environ.get("THREADA_SEED", secrets.randbits(32)))
    print(f"\nTHREADA_SEED={seed} ({ROUNDS} proofs)")
    assert accepted_of_mutated(ROUNDS, seed, tmp_path, log, instance_checkpoint) == []


def archive(folder: Path, instance_checkpoint: Log, tree_heads: list[str], *, size: int | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint.txt").write_text(checkpoint(instance_checkpoint, size, signer=INSTANCE))
    (folder / "entries.txt").write_bytes(b"".join(instance_checkpoint.entries))
    (folder / "heads.txt").write_text("".join(tree_heads))
    return folder


def test_the_whole_log_of_the_instance(run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    made = archive(tmp_path / "instance", instance_checkpoint, [note_of(log, 600), note_of(log, 600, OTHER)])
    saved = tmp_path / "saved.txt"
    saved.write_text(
        checkpoint(instance_checkpoint, 17, signer=INSTANCE) + checkpoint(instance_checkpoint, 40, signer=INSTANCE)
    )
    for one in (made, zipped(made)):
        said = run(one, "--against", saved)
        assert (said.code, said.findings, said.report["receipts"]) == (0, [], 40)
        assert [one["outcome"] for one in said.report["against"]] == ["this log continues it", "the same"]
    assert "Checkpoints 40 read" in run(made, as_json=False).out


def test_a_tenant_that_was_dropped_or_rolled_back_is_named(
    run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path
) -> None:
    made = archive(tmp_path / "instance", instance_checkpoint, [note_of(log, 600)])
    said = run(made)
    assert [(one["code"], one["tenant"]) for one in said.report["findings"]] == [("tenant_dropped", OTHER[13:])]
    archive(made, instance_checkpoint, [note_of(log, 600), note_of(log, 570, OTHER)])
    said = run(made)
    assert [(one["code"], one["tenant"]) for one in said.report["findings"]] == [("rolled_back", OTHER[13:])]
    fork = Log.of([b"another", *log.entries[1:]])
    archive(made, instance_checkpoint, [note_of(log, 600), note_of(fork, 600, OTHER)])
    assert [one["code"] for one in run(made).report["findings"]] == ["forked"]
    forged = note_of(log, 600, OTHER).replace("\n600\n", "\n601\n")
    archive(made, instance_checkpoint, [note_of(log, 600), forged])
    assert [one["code"] for one in run(made).report["findings"]] == ["head_unusable", "tenant_dropped"]


def test_a_log_without_any_trace_of_it_is_not_the_one_that_was_kept(
    run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path
) -> None:
    """A forger with the key can only produce another log, which a saved checkpoint detects."""
    own = Log.of([entry for entry in instance_checkpoint.entries if entry.startswith(ORIGIN.encode())])
    made = archive(tmp_path / "instance", own, [note_of(log, 600)])
    assert run(made).code == 0
    saved = tmp_path / "saved.txt"
    for size, code in ((40, "rolled_back"), (17, "forked")):
        saved.write_text(checkpoint(instance_checkpoint, size, signer=INSTANCE))
        said = run(made, "--against", saved)
        assert (said.code, said.findings) == (1, [(code, None, None)])


def test_entries_that_are_not_the_logs(run: Run, log: Log, instance_checkpoint: Log, tmp_path: Path) -> None:
    tree_heads = [note_of(log, 600), note_of(log, 600, OTHER)]
    made = archive(tmp_path / "instance", instance_checkpoint, tree_heads)
    (made / "entries.txt").write_bytes(b"".join(instance_checkpoint.entries[1:]))
    assert [one["code"] for one in run(made).report["findings"]] == ["root_differs"]
    (made / "entries.txt").write_bytes(
        b"".join([instance_checkpoint.entries[1], instance_checkpoint.entries[0], *instance_checkpoint.entries[2:]])
    )
    assert [one["code"] for one in run(made).report["findings"]] == ["root_differs"]
