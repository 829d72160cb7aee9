"""One receipt with its proof, two checkpoints with their proof, and a whole log."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry.tlog.note import Signer
from telemetry.tlog.texts import encoded
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import ORIGIN, SIGNER, TENANT, body, checkpoint, receipt_id


@pytest.fixture
def receipt(tmp_path: Path, log: Log) -> tuple[Path, Path]:
    """Write receipt 17 and its proof as files."""
    file, proof = tmp_path / "receipt.json", tmp_path / "receipt.tlog-proof"
    file.write_bytes(log.entries[17])
    proof.write_text(str(log.proof(17, 600, signer=SIGNER)))
    return file, proof


def write_log(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def write_consistency(path: Path, log: Log, old: int, size: int) -> Path:
    """Write the body of an add-checkpoint request, https://c2sp.org/tlog-witness."""
    hashes = "".join(f"{encoded(value)}\n" for value in log.consistency(old, size))
    path.write_text(f"old {old}\n{hashes}\n{checkpoint(log, size)}")
    return path


def test_a_receipt_and_its_proof(run: Run, receipt: tuple[Path, Path]) -> None:
    file, proof = receipt
    said = run(file, "--proof", proof, as_json=False)
    assert (said.code, said.out.splitlines()[2:]) == (0, ["Receipts    1 read, sequences 17 to 17", "VERIFIED"])
    file.write_bytes(file.read_bytes() + b"\n")
    assert run(file, "--proof", proof).code == 0


def test_a_changed_receipt(run: Run, receipt: tuple[Path, Path]) -> None:
    file, proof = receipt
    file.write_bytes(file.read_bytes().replace(b"done", b"dome"))
    said = run(file, "--proof", proof)
    assert (said.code, said.findings) == (1, [("proof_does_not_hold", 17, receipt_id(17))])
    assert said.report["findings"][0]["message"] == (
        "the proof does not lead from these bytes to the root of the checkpoint"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tlog-proof@v1", "tlog-proof@v2", "the proof does not begin with the line c2sp.org/tlog-proof@v1"),
        ("index 17", "index 18", "the proof does not lead from these bytes to the root of the checkpoint"),
        ("index 17", "index 017", "the index of the proof is not a decimal number"),
        ("index 17\n", "", "the proof does not say an index"),
        ("index 17\n", "index 17\nAAAA\n", "the proof holds at most 64 hashes of 32 bytes"),
        ("\n600\n", "\n601\n", "does not verify"),
    ],
)
def test_a_changed_proof(run: Run, receipt: tuple[Path, Path], old: str, new: str, message: str) -> None:
    file, proof = receipt
    proof.write_text(proof.read_text().replace(old, new))
    said = run(file, "--proof", proof)
    assert said.code == 1
    assert message in said.report["findings"][0]["message"]


def test_extra_data_is_ignored(run: Run, receipt: tuple[Path, Path]) -> None:
    file, proof = receipt
    proof.write_text(proof.read_text().replace("index", "extra bW9yZQ==\nindex", 1))
    assert run(file, "--proof", proof).code == 0


def test_a_receipt_of_another_tenant(run: Run, receipt: tuple[Path, Path]) -> None:
    file, proof = receipt
    strange = Log.of([body(0, tenant="tn_other")])
    file.write_bytes(strange.entries[0])
    proof.write_text(str(strange.proof(0, 1, signer=SIGNER)))
    said = run(file, "--proof", proof)
    assert (said.code, said.findings) == (1, [("other_tenant", None, receipt_id(0))])
    assert str(said.report["findings"][0]["message"]) == "the receipt is of tenant tn_other"
    assert said.report["findings"][0]["tenant"] == TENANT


def test_a_receipt_against_an_older_checkpoint(run: Run, receipt: tuple[Path, Path], tmp_path: Path, log: Log) -> None:
    old, way = tmp_path / "old.txt", tmp_path / "way.txt"
    old.write_text(checkpoint(log, 300))
    said = run(*_with(receipt), "--against", old)
    assert (said.code, said.err) == (
        2, "threada_verify.py: --consistency has to name a proof from 300 to 600 receipts\n",
    )  # fmt: skip
    write_consistency(way, log, 300, 600)
    assert run(*_with(receipt), "--against", old, "--consistency", way).code == 0
    way.write_text(way.read_text().replace("\n", "\n" + encoded(bytes(32)) + "\n", 1))
    said = run(*_with(receipt), "--against", old, "--consistency", way)
    assert (said.code, said.findings) == (1, [("forked", None, None)])
    write_consistency(way, log, 300, 599)
    said = run(*_with(receipt), "--against", old, "--consistency", way)
    assert said.report["findings"][0]["message"] == f"{way} leads to another checkpoint (of 599 receipts)"
    old.write_text(checkpoint(log, 600))
    assert run(*_with(receipt), "--against", old).code == 0


def test_two_checkpoints(run: Run, tmp_path: Path, log: Log) -> None:
    old, new, way = (tmp_path / name for name in ("old", "new", "way"))
    new.write_text(checkpoint(log, 600))
    for size in (1, 2, 255, 256, 300, 599):
        old.write_text(checkpoint(log, size))
        write_consistency(way, log, size, 600)
        said = run("--checkpoint", new, "--against", old, "--consistency", way)
        assert (said.code, said.report["against"][0]["size"]) == (0, size)
    said = run("--checkpoint", old, "--against", new)
    assert said.findings == [("rolled_back", None, None)]
    fork = Log.of([*log.entries[:599], body(1000)])
    old.write_text(checkpoint(fork, 600))
    assert run("--checkpoint", new, "--against", old).findings == [("forked", None, None)]


def _with(receipt: tuple[Path, Path]) -> tuple[Path, str, Path]:
    return receipt[0], "--proof", receipt[1]


def test_a_whole_log_in_order(run: Run, tmp_path: Path, log: Log) -> None:
    file, tree_head, old = write_log(tmp_path / "log.ndjson", log.entries), tmp_path / "head", tmp_path / "old"
    tree_head.write_text(checkpoint(log))
    old.write_text("".join(checkpoint(log, size) for size in (0, 1, 256, 300, 600)))
    said = run(file, "--checkpoint", tree_head, "--against", old)
    assert (said.code, said.report["receipts"], len(said.report["against"])) == (0, 600, 5)
    packed = tmp_path / "log.ndjson.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert run(packed, "--checkpoint", tree_head).code == 0
    packed.write_bytes(packed.read_bytes()[:-100])
    assert run(packed, "--checkpoint", tree_head).findings == [("cannot_be_checked", None, None)]


def test_a_log_that_was_rolled_back(run: Run, tmp_path: Path, log: Log) -> None:
    """The log is valid, but shorter than before: the later receipts are missing."""
    tree_head, old = tmp_path / "head", tmp_path / "old"
    tree_head.write_text(checkpoint(log, 300))
    old.write_text(checkpoint(log, 300) + checkpoint(log, 600))
    said = run(write_log(tmp_path / "log.ndjson", log.entries[:300]), "--checkpoint", tree_head, "--against", old)
    assert (said.code, said.findings) == (1, [("rolled_back", None, None)])
    assert [one["outcome"] for one in said.report["against"]] == [
        "the same",
        "rolled back: 600 receipts were sealed then, and the log has 300 now",
    ]


def _edited(entries: list[bytes]) -> list[bytes]:
    return [*entries[:17], entries[17].replace(b"done", b"dome"), *entries[18:]]


def _swapped(entries: list[bytes]) -> list[bytes]:
    return [*entries[:17], entries[18], entries[17], *entries[19:]]


def _doubled(entries: list[bytes]) -> list[bytes]:
    return [*entries[:17], entries[17], *entries[17:599]]


@pytest.mark.parametrize("change", [_edited, _swapped, _doubled])
def test_a_changed_log(run: Run, tmp_path: Path, log: Log, change: Callable[[list[bytes]], list[bytes]]) -> None:
    tree_head = tmp_path / "head"
    tree_head.write_text(checkpoint(log))
    said = run(write_log(tmp_path / "log.ndjson", change(log.entries)), "--checkpoint", tree_head)
    assert (said.code, said.findings) == (1, [("root_differs", None, None)])
    old = tmp_path / "old"
    old.write_text(checkpoint(log, 10) + checkpoint(log, 20))
    said = run(tmp_path / "log.ndjson", "--checkpoint", tree_head, "--against", old)
    assert said.findings == [("root_differs", None, None), ("forked", None, None)]
    assert [one["outcome"] for one in said.report["against"]] == [
        "this log continues it",
        "forked: its first 20 receipts are not the ones that were sealed then",
    ]


def test_a_log_of_another_length(run: Run, tmp_path: Path, log: Log) -> None:
    tree_head = tmp_path / "head"
    tree_head.write_text(checkpoint(log, 599))
    said = run(write_log(tmp_path / "log.ndjson", log.entries), "--checkpoint", tree_head)
    assert said.findings == [("not_sealed", 599, receipt_id(599))]
    tree_head.write_text(checkpoint(log, 600))
    said = run(write_log(tmp_path / "log.ndjson", log.entries[:590]), "--checkpoint", tree_head)
    assert said.findings == [("receipt_missing", 590, None)]
    assert said.report["findings"][0]["message"] == "the file ends here, the checkpoint has 600 receipts"


def test_rotation_is_signed_by_both_keys(run: Run, tmp_path: Path, log: Log) -> None:
    new = Signer(ORIGIN, key(2))
    tree_head = tmp_path / "head"
    tree_head.write_text(str(log.checkpoint(600, origin=ORIGIN).sign([SIGNER, new])))
    file = write_log(tmp_path / "log.ndjson", log.entries)
    for known in (SIGNER, new):
        said = run(file, "--checkpoint", tree_head, key=str(known.verifier_key))
        assert (said.code, said.report["checkpoint"]["signed_by"]) == (0, known.verifier_key.key_id.hex())
