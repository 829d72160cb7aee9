"""Evidence of an export: correct evidence is verified, and every error is reported."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from telemetry.tlog.note import Signer
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import (
    KEY,
    ORIGIN,
    SIGNER,
    TENANT,
    body,
    checkpoint,
    log_of,
    receipt_id,
    whole,
    write_evidence,
    zipped,
)


@pytest.fixture
def folder(tmp_path: Path, log: Log) -> Path:
    return whole(tmp_path / "evidence", log)


def test_folder_and_archive_hold(run: Run, folder: Path, log: Log) -> None:
    said = run(folder, as_json=False)
    assert (said.code, said.err) == (0, "")
    root = checkpoint(log).split("\n")[2]
    assert said.out == (
        f"Log         {ORIGIN}\n"
        f"Checkpoint  600 receipts, root {root}, signed with key {SIGNER.verifier_key.key_id.hex()}\n"
        "Receipts    600 read, sequences 0 to 599\n"
        "VERIFIED\n"
    )
    packed = run(zipped(folder), "--complete")
    assert packed.code == 0
    assert packed.report["verified"] is True
    assert (packed.report["receipts"], packed.report["last_sequence"], packed.findings) == (600, 599, [])


def test_a_selection_holds_in_any_order_of_sealing(run: Run, tmp_path: Path, log: Log) -> None:
    log = Log.of([body(number) for number in (3, 0, 2, 1, 9, 7)])
    chosen = [0, 2, 7, 9]
    places = [log.entries.index(body(number)) for number in chosen]
    said = run(write_evidence(tmp_path / "e", log, [body(number) for number in chosen], places))
    assert said.code == 0
    assert (said.report["first_sequence"], said.report["last_sequence"], said.report["absent_between"]) == (1, 5, 1)
    short = run(write_evidence(tmp_path / "e", log, [body(number) for number in chosen], places), "--complete")
    assert short.code == 1
    assert short.findings == [("receipt_missing", 0, None), ("receipt_missing", 3, None)]


def test_the_order_of_the_log_holds_if_the_file_says_so(run: Run, tmp_path: Path) -> None:
    log = Log.of([body(number) for number in (3, 0, 2, 1, 9, 7)])
    said = run(write_evidence(tmp_path / "log", log, log.entries, range(6), order="order: log\n"), "--complete")
    assert (said.code, said.findings) == (0, [])
    said = run(write_evidence(tmp_path / "ids", log, log.entries, range(6)), "--complete")
    assert said.findings == [("out_of_order", None, receipt_id(number)) for number in (0, 1, 7)]
    places = [0, 2, 1, 3, 4, 5]
    lines = [log.entries[place] for place in places]
    said = run(write_evidence(tmp_path / "swapped", log, lines, places, order="order: log\n"))
    assert said.findings == [("out_of_order", 1, receipt_id(0))]
    said = run(write_evidence(tmp_path / "unknown", log, log.entries, range(6), order="order: time\n"))
    assert (said.code, [code for code, _, _ in said.findings]) == (1, ["cannot_be_checked"])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512])
def test_every_shape_of_tree(run: Run, tmp_path: Path, size: int) -> None:
    small = log_of(size)
    old = tmp_path / "old"
    old.write_text("".join(checkpoint(small, at) for at in range(0, size + 1, max(1, size // 16))))
    said = run(whole(tmp_path / "e", small), "--complete", "--against", old)
    assert (said.code, said.findings) == (0, [])
    assert {one["outcome"] for one in said.report["against"]} <= {"this log continues it", "the same"}


def edit(lines: list[bytes]) -> None:
    lines[17] = lines[17].replace(b"thing.done", b"thing.dome")


def swap(lines: list[bytes]) -> None:
    lines[17], lines[18] = lines[18], lines[17]


def carriage_return(lines: list[bytes]) -> None:
    lines[17] += b"\r"


def respelled(lines: list[bytes]) -> None:
    lines[17] = lines[17].replace(b":", b": ")


def renamed(lines: list[bytes]) -> None:
    lines[17] = lines[17].replace(receipt_id(17).encode(), receipt_id(16).encode())


def not_json(lines: list[bytes]) -> None:
    lines[17] = b"[" * 100_000


def not_a_receipt(lines: list[bytes]) -> None:
    lines[17] = b'["rc_x"]'


def foreign(lines: list[bytes]) -> None:
    lines[17] = body(17, tenant="tn_other")


def cut_bytes(lines: list[bytes]) -> None:
    lines[599] = lines[599][:-5]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (edit, [("bytes_differ", 17, receipt_id(17))]),
        (carriage_return, [("bytes_differ", 17, receipt_id(17))]),
        (respelled, [("bytes_differ", 17, receipt_id(17))]),
        (
            swap,
            [
                ("bytes_differ", 17, receipt_id(18)),
                ("out_of_order", None, receipt_id(17)),
                ("bytes_differ", 18, receipt_id(17)),
            ],
        ),
        (renamed, [("out_of_order", None, receipt_id(16)), ("bytes_differ", 17, receipt_id(16))]),
        (not_json, [("unreadable", None, None), ("bytes_differ", 17, None)]),
        (not_a_receipt, [("unreadable", None, None), ("bytes_differ", 17, None)]),
        (foreign, [("other_tenant", None, receipt_id(17)), ("bytes_differ", 17, receipt_id(17))]),
        (cut_bytes, [("unreadable", None, None), ("bytes_differ", 599, None)]),
    ],
)
def test_changed_receipts_are_named(run: Run, folder: Path, log: Log, change: object, found: list[object]) -> None:
    lines = list(log.entries)
    change(lines)  # type: ignore[operator]
    (folder / "receipts.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    said = run(folder)
    assert (said.code, said.findings) == (1, found)


def test_text_of_a_finding(run: Run, folder: Path, log: Log) -> None:
    lines = list(log.entries)
    edit(lines)
    (folder / "receipts.ndjson").write_bytes(b"\n".join(lines))
    assert run(folder, as_json=False).out.splitlines()[3:] == [
        f"WRONG       {TENANT}: sequence 17, receipt {receipt_id(17)}, line 18: these are not the bytes that were sealed at this sequence",
        "NOT VERIFIED: 1 found",
    ]


def test_left_out_and_cut_off(run: Run, tmp_path: Path, log: Log) -> None:
    e = tmp_path / "e"
    places = list(range(600))
    without = [entry for number, entry in enumerate(log.entries) if number != 17]
    said = run(write_evidence(e, log, without, [place for place in places if place != 17]), "--complete")
    assert (said.code, said.findings) == (1, [("receipt_missing", 17, None)])
    assert said.report["absent_between"] == 1
    said = run(write_evidence(e, log, log.entries[:590], places))
    assert (said.code, [code for code, _, _ in said.findings]) == (1, ["receipts_cut_off"])
    said = run(write_evidence(e, log, log.entries, places[:598]))
    assert said.findings == [("not_sealed", None, receipt_id(598)), ("not_sealed", None, receipt_id(599))]
    said = run(write_evidence(e, log, [*log.entries, log.entries[-1]], [*places, 599]))
    assert said.findings == [("out_of_order", None, receipt_id(599)), ("repeated", 599, receipt_id(599))]


def test_positions_are_not_trusted(run: Run, tmp_path: Path, log: Log) -> None:
    e = tmp_path / "e"
    places: list[int | str] = list(range(600))
    places[5] = 6
    said = run(write_evidence(e, log, log.entries, places))
    assert said.findings == [("bytes_differ", 6, receipt_id(5)), ("repeated", 6, receipt_id(6))]
    places[5] = "-"
    assert run(write_evidence(e, log, log.entries, places)).findings == [("not_sealed", None, receipt_id(5))]
    places[5] = 600
    assert run(write_evidence(e, log, log.entries, places)).findings == [("not_sealed", 600, receipt_id(5))]
    for nonsense in ("05", "-1", "5 ", "", "x", "9" * 30):
        places[5] = nonsense
        assert run(write_evidence(e, log, log.entries, places)).findings == [("cannot_be_checked", None, None)]


def test_a_receipt_that_is_not_in_the_log(run: Run, tmp_path: Path, log: Log) -> None:
    said = run(write_evidence(tmp_path / "e", log, [*log.entries, body(600)], [*range(600), "-"]))
    assert said.findings == [("not_sealed", None, receipt_id(600))]
    said = run(write_evidence(tmp_path / "e", log, [*log.entries[:599], body(600)], range(600)))
    assert said.findings == [("bytes_differ", 599, receipt_id(600))]


@pytest.mark.parametrize("tile", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
def test_every_byte_of_the_tiles_counts(run: Run, folder: Path, tile: str) -> None:
    file = folder / tile
    data = file.read_bytes()
    for at in range(0, len(data), 1 + len(data) // 8):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        said = run(folder)
        assert said.code == 1
        edge = tile.endswith(("p/88", "p/2"))
        wanted = "the tiles at the right edge" if edge else f"{tile} does not belong to the log of the checkpoint"
        assert said.report["findings"][0]["message"].startswith(wanted)
    for broken in (data[:-1], data + b"\0", b""):
        file.write_bytes(broken)
        assert run(folder).code == 1
    file.unlink()
    assert run(folder).report["findings"][0]["message"] == f"{tile} is not in the evidence"


def test_a_forged_log_needs_the_key(run: Run, tmp_path: Path) -> None:
    forged = Log.of([body(number, forged=True) for number in range(600)])
    mallory = Signer(ORIGIN, key(9))
    e = write_evidence(tmp_path / "e", forged, forged.entries, range(600), note=checkpoint(forged, signer=mallory))
    said = run(e)
    assert said.report["findings"][0]["message"] == f"no key given for {ORIGIN} signed the checkpoint"
    assert run(e, key=str(mallory.verifier_key)).code == 0  # only the key is trusted


def test_the_checkpoint_must_be_of_the_log_of_the_key(run: Run, folder: Path, log: Log) -> None:
    other = Signer("threada.test/tn_other", key(1))
    said = run(folder, key=str(other.verifier_key))
    assert said.report["findings"][0]["message"] == (
        f"the checkpoint is of {ORIGIN}, and none of the keys given is for that log"
    )
    (folder / "checkpoint.txt").write_text(checkpoint(log, signer=other))
    said = run(folder, key=str(other.verifier_key))
    assert {code for code, _, _ in said.findings} == {"other_tenant"}
    assert said.report["number_of_findings"] == 600
    assert len(said.findings) == 200


def test_a_wrong_signature_is_refused(run: Run, folder: Path, log: Log) -> None:
    note = checkpoint(log)
    (folder / "checkpoint.txt").write_text(note.replace("\n600\n", "\n599\n"))
    assert "does not verify" in run(folder).report["findings"][0]["message"]


def test_an_archive_that_is_cut_or_is_none(run: Run, folder: Path) -> None:
    archive = zipped(folder)
    archive.write_bytes(archive.read_bytes()[:-50])
    cut = run(archive)
    assert (cut.code, "not evidence" in cut.err) == (2, True)
    (folder / "checkpoint.txt").unlink()
    assert run(folder).code == 2
    shutil.rmtree(folder / "tile")
    assert (
        run(zipped(folder)).report["findings"][0]["message"].endswith("holds no checkpoint.txt, so it is not evidence")
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
@pytest.mark.parametrize("name", ["checkpoint.txt", "receipts.ndjson"])
def test_an_archive_that_was_packed_by_others(run: Run, folder: Path, name: str, method: int) -> None:
    """An unsupported compression method is reported."""
    archive = zipped(folder)
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as members:
        infos = [info for info in members.infolist() if info.filename.endswith(name)]
    (info,) = infos
    data[info.header_offset + 8 : info.header_offset + 10] = method.to_bytes(2, "little")
    entry = data.rindex(info.filename.encode()) - 46
    data[entry + 10 : entry + 12] = method.to_bytes(2, "little")
    archive.write_bytes(data)
    said = run(archive)
    assert (said.code, said.findings) == (1, [("cannot_be_checked", None, None)])
    assert said.report["findings"][0]["message"] == f"{name} is packed in a way that evidence is not"


def test_an_archive_under_a_password(run: Run, folder: Path) -> None:
    archive = zipped(folder)
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as members:
        (info,) = (info for info in members.infolist() if info.filename.endswith("checkpoint.txt"))
    data[data.rindex(info.filename.encode()) - 46 + 8] |= 1
    archive.write_bytes(data)
    said = run(archive).report["findings"]
    assert [one["message"] for one in said] == ["checkpoint.txt is packed in a way that evidence is not"]


def test_against_older_checkpoints(run: Run, folder: Path, tmp_path: Path, log: Log) -> None:
    old = tmp_path / "old.txt"
    old.write_text(checkpoint(log, 300))
    said = run(folder, "--against", old, as_json=False)
    assert said.code == 0
    assert "Against     the checkpoint of 300 receipts: this log continues it\n" in said.out
    # several in one file, also of other logs
    other = Signer("threada.test/tn_other", key(1))
    old.write_text("".join(checkpoint(log, size) for size in (0, 1, 300, 599, 600)) + checkpoint(log, signer=other))
    said = run(folder, "--against", old)
    assert said.code == 0
    assert [one["size"] for one in said.report["against"]] == [0, 1, 300, 599, 600]


def test_against_finds_a_rollback_and_a_fork(run: Run, tmp_path: Path, log: Log) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(checkpoint(log, 600))
    said = run(whole(tmp_path / "earlier", log_of(500)), "--against", saved)
    assert (said.code, said.findings) == (1, [("rolled_back", None, None)])
    assert said.report["findings"][0]["message"] == (
        "rolled back: 600 receipts were sealed then, and the log has 500 now"
    )
    forked = Log.of([*log.entries[:500], *(body(number, forked=True) for number in range(500, 700))])
    said = run(whole(tmp_path / "forked", forked), "--against", saved)
    assert (said.code, said.findings) == (1, [("forked", None, None)])
    assert said.report["findings"][0]["message"] == (
        "forked: its first 600 receipts are not the ones that were sealed then"
    )
    assert run(whole(tmp_path / "forked", forked)).code == 0  # undetectable without a saved checkpoint


def test_unusable_older_checkpoints(run: Run, folder: Path, tmp_path: Path, log: Log) -> None:
    old = tmp_path / "old.txt"
    old.write_text(checkpoint(log, signer=Signer("threada.test/tn_other", key(1))))
    said = run(folder, "--against", old)
    assert (said.code, said.err) == (2, f"threada_verify.py: {old} holds no checkpoint of {ORIGIN}\n")
    old.write_text(checkpoint(log, 300).replace("\n300\n", "\n299\n"))
    assert run(folder, "--against", old).findings == [("older_checkpoint_unusable", None, None)]
    partial = write_evidence(tmp_path / "p", log, log.entries[300:310], range(300, 310))
    shutil.rmtree(partial / "tile/0")
    write_evidence(partial, log, log.entries[300:310], range(300, 310))
    (partial / "tile/0/000").unlink()
    assert run(partial).code == 0
    old.write_text(checkpoint(log, 100))
    assert run(partial, "--against", old).report["findings"][0]["message"] == "tile/0/000 is not in the evidence"
    old.write_text(checkpoint(log, 256))
    assert run(partial, "--against", old).code == 0


@pytest.mark.parametrize("key_file", ["# ours\n\n{key}\n", "{key}"])
def test_keys_from_a_file(run: Run, folder: Path, tmp_path: Path, key_file: str) -> None:
    file = tmp_path / "keys"
    file.write_text(key_file.format(key=KEY))
    assert run(folder, key=str(file)).code == 0
